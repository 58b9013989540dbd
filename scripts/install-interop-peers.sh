#!/usr/bin/env bash
# Installs the real peers that `npm run test:interop` talks to, from Debian's packages. Needs root (or sudo).
set -euo pipefail

packages=(chromium coturn stun-client openssl gnutls-bin iproute2 nftables gcc libc6-dev libmbedtls-dev)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  echo "interop peers: all installed (${packages[*]})"
  exit 0
fi

sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
echo "interop peers: installing ${missing[*]}"
"${sudo[@]}" apt-get update -qq
# Packages must not start daemons of their own: the tests start each peer with their own settings.
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"
