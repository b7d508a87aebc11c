# syntax=docker/dockerfile:1
#
# The image holds a Python environment with exactly what requirements.lock names (every file checked by its hash), the
# package with its hot modules compiled, and nothing else: no compiler, no shell script of ours, no key, no configuration but the example.
#
#   docker build -t ostiary .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -p 443:8443 -v ./config:/etc/ostiary/config:ro -v ./certs:/etc/ostiary/certs:ro -v ostiary:/var/lib/ostiary ostiary
#
# In the configuration, listen on 0.0.0.0:8443, keep state and audit under /var/lib/ostiary, and leave `admin` on
# 127.0.0.1:9901, where the health check asks. Files in certs/ must be readable by user 10001.
#
# The base is pinned by tag. Pin it by digest where you build (`docker buildx imagetools inspect python:3.13-slim-bookworm`
# prints it): --build-arg BASE=python:3.13-slim-bookworm@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
WORKDIR /build
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv /opt/ostiary && \
    /opt/ostiary/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r requirements.lock
# What compiles the wheel (hatchling, mypyc, setuptools) stays behind in this stage.
RUN python -m venv /build/tools && \
    /build/tools/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r requirements-dev.lock
COPY pyproject.toml hatch_build.py README.md ./
COPY proxy ./proxy
COPY config ./config
RUN OSTIARY_COMPILE=1 /build/tools/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir wheel . && \
    /opt/ostiary/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps wheel/*.whl && \
    /opt/ostiary/bin/python -m pip uninstall --quiet --yes pip && \
    /opt/ostiary/bin/python -m compileall -q /opt/ostiary/lib && \
    /opt/ostiary/bin/ostiary --version

FROM ${BASE}
LABEL org.opencontainers.image.title="Ostiary" \
      org.opencontainers.image.description="An identity-aware reverse proxy that replaces the VPN" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 ostiary && \
    useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/ostiary --shell /usr/sbin/nologin ostiary && \
    install -d -o 10001 -g 10001 -m 0700 /var/lib/ostiary && \
    install -d -m 0755 /etc/ostiary
COPY --from=build /opt/ostiary /opt/ostiary
ENV PATH=/opt/ostiary/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /etc/ostiary
VOLUME /var/lib/ostiary
EXPOSE 8443 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import sys, urllib.request as r; sys.exit(r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9901/readyz', timeout=2).status != 200)"]
ENTRYPOINT ["ostiary"]
CMD ["serve", "--config", "/etc/ostiary/config/ostiary.yaml"]
