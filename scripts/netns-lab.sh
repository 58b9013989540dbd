#!/usr/bin/env bash
# Small networks of real Linux network namespaces for `npm run test:interop`. Nothing in them reaches the machine's own network.
#
#   netns-lab.sh nat  PREFIX NAT_A NAT_B   two peers behind a NAT each, and a server, on one "internet"
#   netns-lab.sh link PREFIX               two hosts, a and b, on one link
#   netns-lab.sh down PREFIX               removes every namespace PREFIX-*
#
# NAT kinds (nftables):
#   cone        keeps the port: endpoint-independent mapping, address-and-port-dependent filtering
#   full-cone   the same, and lets everybody in
#   symmetric   masquerade fully-random: another port for each destination
#
#   PREFIX-a 10.0.1.2 ── PREFIX-nata 198.51.100.1 ──┐
#                                                   ├── bridge in PREFIX-net ── PREFIX-srv 198.51.100.100
#   PREFIX-b 10.0.2.2 ── PREFIX-natb 198.51.100.2 ──┘
set -euo pipefail

die() {
  echo "netns-lab: $*" >&2
  exit 1
}

usage() {
  sed -n '4,6s/^# *//p' "$0" >&2
  exit 2
}

[ $# -ge 2 ] || usage
command=$1
prefix=$2
[ "$(id -u)" -eq 0 ] || die "network namespaces need root: run the tests as root, or in a container that gives CAP_SYS_ADMIN and CAP_NET_ADMIN"
command -v ip >/dev/null || die "'ip' is not installed: run scripts/install-interop-peers.sh"
command -v nft >/dev/null || die "'nft' is not installed: run scripts/install-interop-peers.sh"

down() {
  ip netns list | awk '{ print $1 }' | while read -r namespace; do
    case $namespace in "$prefix"-*) ip netns del "$namespace" ;; esac
  done
}

# add NAME: a namespace with loopback
add() {
  ip netns add "$prefix-$1"
  ip -n "$prefix-$1" link set lo up
}

# cable NAME_1 INTERFACE_1 NAME_2 INTERFACE_2
cable() {
  ip -n "$prefix-$1" link add "$2" type veth peer name "$4" netns "$prefix-$3"
  ip -n "$prefix-$1" link set "$2" up
  ip -n "$prefix-$3" link set "$4" up
}

# uplink NAME ADDRESS: an interface `wan` on the internet's bridge
uplink() {
  cable "$1" wan net "to-$1"
  ip -n "$prefix-net" link set "to-$1" master internet
  ip -n "$prefix-$1" address add "$2/24" dev wan
  # The internet takes what is sent to addresses that lead nowhere: coturn ends a session whose send fails.
  ip -n "$prefix-$1" route add default via 198.51.100.254
}

# house LETTER NUMBER KIND: a peer behind a NAT
house() {
  local peer=$1 nat=nat$1 lan=10.0.$2 kind=$3 source target=""
  case $kind in
    cone) source="masquerade" ;;
    full-cone) source="masquerade" target="iifname wan meta l4proto udp dnat to $lan.2" ;;
    symmetric) source="masquerade fully-random" ;;
    *) die "no NAT is called '$kind'" ;;
  esac
  add "$peer"
  add "$nat"
  uplink "$nat" "198.51.100.$2"
  cable "$peer" lan "$nat" lan
  ip -n "$prefix-$peer" address add "$lan.2/24" dev lan
  ip -n "$prefix-$nat" address add "$lan.1/24" dev lan
  ip -n "$prefix-$peer" route add default via "$lan.1"
  ip netns exec "$prefix-$nat" sysctl -qw net.ipv4.ip_forward=1
  # What is not let through is dropped before it leaves a trace: a rejected packet's connection-tracking entry would take
  # the port that the answer is going to use.
  ip netns exec "$prefix-$nat" nft -f - <<RULES
table ip lab {
  chain source {
    type nat hook postrouting priority srcnat
    oifname wan $source
  }
  chain target {
    type nat hook prerouting priority dstnat
    $target
  }
  chain through {
    type filter hook forward priority filter; policy drop
    iifname lan accept
    ct state established,related accept
    ct status dnat accept
  }
  chain here {
    type filter hook input priority filter; policy accept
    iifname wan drop
  }
}
RULES
}

case $command in
  down)
    down
    exit 0
    ;;
  nat) [ $# -eq 4 ] || usage ;;
  link) [ $# -eq 2 ] || usage ;;
  *) usage ;;
esac

trap 'status=$?; [ "$status" -eq 0 ] || down; exit "$status"' EXIT
if [ "$command" = link ]; then
  add a
  add b
  cable a lan b lan
  for host in a:1 b:2; do
    ip -n "$prefix-${host%:*}" address add "10.0.0.${host#*:}/24" dev lan
    # Multicast has to have somewhere to go.
    ip -n "$prefix-${host%:*}" route add default dev lan
  done
else
  add net
  ip -n "$prefix-net" link add internet type bridge
  ip -n "$prefix-net" link set internet up
  ip -n "$prefix-net" address add 198.51.100.254/24 dev internet
  add srv
  uplink srv 198.51.100.100
  house a 1 "$3"
  house b 2 "$4"
fi
