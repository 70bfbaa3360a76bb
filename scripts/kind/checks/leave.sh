# shellcheck shell=bash
# A worker is stopped and its Node deleted: how long the others keep their routes to its pods.
# shellcheck disable=SC2154 # the environment has `network`
set -euo pipefail
source "$(dirname "$0")/cluster.sh"

gone=${workers[1]}
cidrs=$(kubectl get node "$gone" --output 'jsonpath={.spec.podCIDRs[*]}')
podman stop --time 20 "$gone" >/dev/null
kubectl delete node "$gone" >/dev/null
began=$EPOCHREALTIME
left() { local cidr; for cidr in $cidrs; do on "${workers[0]}" ip route show exact "$cidr"; done | grep .; }
last=$((SECONDS + 60))
while left >/dev/null && [ $SECONDS -lt $last ]; do sleep 0.2; done
if left >/dev/null; then
    [ "$network" != podlan ] || fail "after 60 s there is still $(left)"
    said "60 s after a node was deleted, the routes to its pods are still there"
else
    said "the routes to the pods of a node that was deleted were gone after $(since "$began") s"
fi
