#!/bin/sh
# Installs what the benchmark compares Ostiary with. Never starts a system service, never overwrites a configuration.
#   loadtests/install_peers.sh
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

missing=
want() { command -v "$1" >/dev/null 2>&1 || [ -e "${3:-/nonexistent}" ] || missing="$missing $2"; }
PATH="$PATH:/usr/sbin:/sbin"
want nginx nginx-light
want haproxy haproxy
want caddy caddy
want apache2 apache2
want mod_auth_openidc libapache2-mod-auth-openidc /usr/lib/apache2/modules/mod_auth_openidc.so
want wrk wrk
want node nodejs
want npm npm

if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "missing:$missing. Install them (as root on Debian: apt-get install --no-install-recommends$missing)." >&2
    exit 1
  fi
  # A package's post-install script asks policy-rc.d before it starts its service; 101 means "not allowed" (Debian policy).
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT INT TERM
  fi
  apt-get update -q
  # shellcheck disable=SC2086  # a list of package names
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
fi

# The OpenID provider Apache logs in at: exact versions and hashes from package-lock.json.
mkdir -p "$here/out/provider"
cp "$here/provider/package.json" "$here/provider/package-lock.json" "$here/provider/provider.mjs" "$here/out/provider/"
if [ ! -d "$here/out/provider/node_modules/oidc-provider" ]; then
  (cd "$here/out/provider" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund)
fi
echo "peers are installed"
