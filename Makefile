# Everything works from a fresh checkout with Python 3.11 or later and make: each target makes what it needs, and makes
# it again only when its lock file changed. `make` lists the targets.

VENV    := .venv
COMPILED := build/compiled
PY      := $(VENV)/bin/python
IMAGE   ?= ostiary
SECONDS ?= 20
ARGS    ?=
DOCKER  ?= $(shell command -v docker || command -v podman || echo docker)

# A python on the PATH may be a shim that only prints an error, or come without venv: each is tried, not looked at.
FIND_PYTHON = for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	  then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'No Python 3.11 or later with venv was found. Install one (Debian and Ubuntu: apt install python3-venv; macOS:'; \
	  echo 'brew install python@3.13), or say where it is: make PYTHON=/path/to/python3.13'; \
	  exit 1; \
	fi >&2

PIP = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help compiled demo check test test-compiled lint test-browser test-provider test-keycloak test-tpm bench soak fuzz image image-replay lock clean

help: ## list what can be made
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS passes words on: make demo ARGS=--check, make test ARGS="tests/policy -x"'

# --- using it ------------------------------------------------------------------------------------------------------

demo: $(VENV)/.runtime ## try everything on this machine; ARGS=--check drives the tour by itself
	@$(VENV)/bin/ostiary demo $(ARGS)

check: $(VENV)/.runtime ## check the example configuration
	@$(VENV)/bin/ostiary check config/ostiary.yaml $(ARGS)

# --- working on it -------------------------------------------------------------------------------------------------

test: $(VENV)/.dev ## unit, property and scenario tests
	$(PY) -m pytest -m "not browser and not provider and not keycloak and not tpm" $(ARGS)

lint: $(VENV)/.dev ## style, types and the layers between packages
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

test-browser: $(VENV)/.browser ## a real browser: needs Chromium on this machine
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { echo 'No Chromium was found. Install one (Debian: apt install chromium).' >&2; exit 1; }
	$(PY) -m pytest -m browser $(ARGS)

test-compiled: $(COMPILED)/.stamp ## the tests of the byte path, against the compiled modules
	@$(WITH_COMPILED) $(PY) -P -c 'import proxy.wire.request as m; assert m.__file__.endswith(".so"), m.__file__'
	$(WITH_COMPILED) $(PY) -P -m pytest -o pythonpath= tests/wire tests/paths tests/routing tests/scenarios $(ARGS)

WITH_COMPILED = PYTHONPATH="$$($(COMPILED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

test-provider: $(VENV)/.dev tests/provider/node_modules/.stamp ## other people's providers as counterparts: needs Node.js
	$(PY) -m pytest -m provider $(ARGS)

test-keycloak: $(VENV)/.dev ## Keycloak as counterpart, OpenID Connect and SAML: needs Java 17 or later, and Maven
	@$(PY) tests/provider/install_keycloak.py
	$(PY) -m pytest -m keycloak tests/provider $(ARGS)

test-tpm: $(VENV)/.dev ## the device's key in a TPM 2.0: needs swtpm and tpm2-tools
	@command -v swtpm >/dev/null && command -v tpm2_sign >/dev/null || { \
	  echo 'swtpm or tpm2-tools were not found (Debian: apt install swtpm swtpm-tools tpm2-tools libtss2-tcti-swtpm0).' >&2; exit 1; }
	$(PY) -m pytest -m tpm $(ARGS)

fuzz: $(VENV)/.dev ## every fuzzer for SECONDS (20) each
	$(PY) tests/fuzz/run.py --seconds $(SECONDS) $(ARGS)

bench: $(VENV)/.dev $(COMPILED)/.stamp ## the benchmark table; installs the peers it compares with; ARGS=--quick
	PYTHON=$(PY) OSTIARY_PYTHON=$(COMPILED)/bin/python loadtests/bench.sh $(ARGS)

soak: $(VENV)/.dev ## two minutes under load and trouble: nothing lost, memory flat
	$(PY) -m loadtests.soak $(ARGS)

# The wheel as it is shipped, with the modules on the path of every request compiled: what the benchmarks measure.
compiled: $(COMPILED)/.stamp ## the compiled wheel, installed in an environment of its own (needs a C compiler)

$(COMPILED)/.stamp: $(VENV)/.dev hatch_build.py pyproject.toml requirements.lock $(shell find proxy config -name '*.py' -o -name '*.html' -o -name '*.css' -o -name '*.js' -o -name '*.yaml')
	@command -v cc >/dev/null || { echo 'No C compiler was found. Install one (Debian: apt install gcc).' >&2; exit 1; }
	@echo 'Compiling the wheel (about a minute) …'
	@rm -rf build/wheel && OSTIARY_COMPILE=1 $(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	@test -x $(COMPILED)/bin/python || $(PY) -m venv $(COMPILED)
	@$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	@touch $@

# --- shipping it ---------------------------------------------------------------------------------------------------

image: ## the container image
	$(DOCKER) build --tag $(IMAGE) $(ARGS) .

image-replay: $(VENV)/.dev ## the image's build steps on this machine, into a scratch folder, where there is no engine
	$(PY) tests/image/replay.py $(ARGS)

# The lock files name exact versions and the hashes of every file of them, for every platform and Python from 3.11.
# Needs uv (https://docs.astral.sh/uv/). To move one package on: make lock ARGS="--upgrade-package aiohttp"
LOCK = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: ## make the lock files anew from pyproject.toml
	$(LOCK) $(ARGS) --output-file requirements.lock
	$(LOCK) $(ARGS) --group dev --output-file requirements-dev.lock
	$(LOCK) $(ARGS) --group dev --group browser --output-file requirements-browser.lock

clean: ## remove what was made here; keys in certs/ and state in var/ stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/provider/node_modules
	find proxy tests loadtests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments --------------------------------------------------------------------------------------------------

$(PY):
	@found=; $(FIND_PYTHON); echo "Making $(VENV) with $$found …"; "$$found" -m venv --clear $(VENV)

# A launcher instead of an installation: the checkout is what runs, and nothing has to be built for it.
$(VENV)/bin/ostiary: | $(PY)
	@printf '#!/bin/sh\nhere=$$(CDPATH= cd -- "$$(dirname -- "$$0")/../.." && pwd)\n%s\n%s\n' \
	  'export PYTHONPATH="$$here$${PYTHONPATH:+:$$PYTHONPATH}"' 'exec "$$here/$(PY)" -m proxy "$$@"' >$@
	@chmod +x $@

$(VENV)/.runtime: requirements.lock | $(PY) $(VENV)/bin/ostiary
	@echo 'Installing what it needs (requirements.lock) …'
	@$(PIP) -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(PY) $(VENV)/bin/ostiary
	@echo 'Installing what working on it needs (requirements-dev.lock) …'
	@$(PIP) -r requirements-dev.lock
	@touch $@ $(VENV)/.runtime

$(VENV)/.browser: requirements-browser.lock | $(PY) $(VENV)/bin/ostiary
	@echo 'Installing what driving a browser needs (requirements-browser.lock) …'
	@$(PIP) -r requirements-browser.lock
	@touch $@ $(VENV)/.dev $(VENV)/.runtime

tests/provider/node_modules/.stamp: tests/provider/package-lock.json
	@command -v npm >/dev/null || { echo 'npm was not found. Install Node.js 20 or later.' >&2; exit 1; }
	cd tests/provider && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
