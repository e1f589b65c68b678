#!/usr/bin/env bash
# Train as on two hosts, on one machine: two network namespaces joined by a cable of their own.
#
#   sudo tests/distributed/two_hosts.sh 1 -m nunbit train digits --epochs 3
#
# The first word is how many ranks each host starts; the rest is what torchrun starts. Needs
# root and `ip` (iproute2). PYTHON names the interpreter, default: python.
set -euo pipefail

ranks=$1
shift
name=nunbit$$
port=29500

tidy() {
    for host in a b; do
        ip netns del "$name$host" 2>/dev/null || true
    done
}
trap tidy EXIT

ip netns add "${name}a"
ip netns add "${name}b"
ip link add "${name}a" netns "${name}a" type veth peer name "${name}b" netns "${name}b"
number=0
for host in a b; do
    number=$((number + 1))
    ip -n "$name$host" addr add "10.77.0.$number/24" dev "$name$host"
    ip -n "$name$host" link set "$name$host" up
    ip -n "$name$host" link set lo up
done

# Gloo would take the address of the host's name, which both "hosts" share.
host() {
    GLOO_SOCKET_IFNAME="$name$1" ip netns exec "$name$1" "${PYTHON:-python}" \
        -m torch.distributed.run --nnodes 2 --node-rank "$2" --nproc-per-node "$ranks" \
        --master-addr 10.77.0.1 --master-port "$port" "${@:3}"
}

host b 1 "$@" &
second=$!
status=0
host a 0 "$@" || status=$?
wait "$second" || status=$?
exit "$status"
