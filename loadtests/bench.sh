#!/bin/sh
# Installs the peers that are missing and runs the benchmark; arguments go to `python -m loadtests.bench`.
set -eu
cd "$(dirname -- "$0")/.."
loadtests/install_peers.sh >&2
python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null 2>&1 || python=python3
exec "$python" -m loadtests.bench "$@"
