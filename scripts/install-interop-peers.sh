#!/usr/bin/env bash
# Installs the real peers that `npm run test:interop` talks to: programs from Debian's packages, which needs root (or sudo),
# and JavaScript runtimes from npm's, into .runtimes/ of the checkout. What is there already stays.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  chromium coturn stun-client openssl gnutls-bin tshark iproute2 nftables
  gcc libc6-dev libmbedtls-dev libusrsctp-dev
)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  echo "interop peers: all installed (${packages[*]})"
else
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  echo "interop peers: installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  # Packages must not start daemons of their own: the tests start each peer with their own settings.
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# The name under .runtimes/bin, its package, and the program in there. npm removes what it is not asked for: all, or none.
runtimes=(
  'node22 npm:node@22 node22/bin/node'
  'node24 npm:node@24 node24/bin/node'
  'bun npm:bun@1 .bin/bun'
  'deno npm:deno@2 .bin/deno'
)
specs=()
works=true
for runtime in "${runtimes[@]}"; do
  read -r name package _ <<<"$runtime"
  specs+=("$name@$package")
  ".runtimes/bin/$name" --version >/dev/null 2>&1 || works=false
done
if "$works"; then
  echo "interop runtimes: all installed (${specs[*]})"
  exit 0
fi

echo "interop runtimes: installing ${specs[*]}"
mkdir -p .runtimes/bin
npm install --prefix .runtimes --no-save --no-package-lock --no-audit --no-fund --loglevel=error "${specs[@]}"
for runtime in "${runtimes[@]}"; do
  read -r name _ program <<<"$runtime"
  ln -sf "../node_modules/$program" ".runtimes/bin/$name"
  ".runtimes/bin/$name" --version >/dev/null # npm may have been told to run no install scripts, which Node's package needs
done
