# shellcheck shell=bash
# After the commands of docs/install.md nothing of podlan is left on any node, but the store of leases without a lease.
set -euo pipefail
source "$(dirname "$0")/cluster.sh"

# A runtime needs a network configuration to stop a pod: first the pods go that have the cluster's network.
kubectl --namespace kube-system scale deployment/coredns --replicas 0 >/dev/null
pods_left() { [ -z "$(kubectl get pods --all-namespaces --output json | jq -r '.items[] | select(.spec.hostNetwork != true) | .metadata.name')" ]; }
eventually 120 "no pod has the cluster's network" pods_left

# The commands of the page, as they stand there.
# shellcheck disable=SC2016 # backticks
commands=$(sed -n '/^## Uninstall/,/^By hand/ { /^```/,/^```/ { /^```/d; p } }' /podlan/docs/install.md)
[ "$(grep -c '^kubectl' <<<"$commands")" = 5 ] || fail "the page has other commands: $commands"
(cd /podlan && bash -euc "$commands")

left() {
    local node=$1
    on "$node" bash -c '
        ls /etc/cni/net.d/*podlan* /opt/cni/bin/podlan* 2>/dev/null
        nft list tables | grep podlan
        { ip -4 route; ip -6 route; } | grep -E "proto (podlan|11[012] )"
        ip -details link | grep podlan
        find /run/podlan -mindepth 1 -maxdepth 1 ! -name podnet 2>/dev/null
        true'
}
for node in "${nodes[@]}"; do
    found=$(left "$node")
    [ -z "$found" ] || fail "left on $node: $found"
done
said "nothing of podlan is left on ${#nodes[@]} nodes but the store of leases, /run/podlan/podnet"
