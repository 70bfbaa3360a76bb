# shellcheck shell=bash
# A hundred pods: each gets its own addresses in its node's pod subnets and is reached from each node; when they are gone,
# so are their addresses. Prints how long it took, with the network's own part.
# shellcheck disable=SC2154 # the environment has `network`
set -euo pipefail
source "$(dirname "$0")/cluster.sh"

# What containerd says of the networks that it had the plugins make on all workers: `COUNT SECONDS`.
adds() {
    local node
    for node in "${workers[@]}"; do
        on "$node" curl --silent --show-error http://127.0.0.1:1338/v1/metrics
    done | awk '/^containerd_cri_sandbox_create_network_seconds_(sum|count)/ {
        if ($1 ~ /_sum/) sum += $NF; else count += $NF
    } END { print count + 0, sum + 0 }'
}
pods() { kubectl get pods --selector app=crowd --output json; }
# The addresses that podlan has leased on the workers.
leases() {
    local node
    for node in "${workers[@]}"; do agent "$node" leases --json; done | jq '[.. | .address? // empty] | length' |
        awk '{ sum += $1 } END { print sum }'
}

[ "$network" != podlan ] || leased=$(leases)
read -r count_before sum_before < <(adds)
began=$EPOCHREALTIME
kubectl apply --filename - >/dev/null <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: crowd}
spec:
  replicas: 100
  selector:
    matchLabels: {app: crowd}
  template:
    metadata:
      labels: {app: crowd}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: pause, image: registry.k8s.io/pause:3.10, imagePullPolicy: IfNotPresent}
END
kubectl rollout status deployment/crowd --timeout 600s >/dev/null
took=$(since "$began")
read -r count sum < <(adds)

mapfile -t own < <(pods | jq -r '.items[].status.podIPs[].ip')
[ ${#own[@]} = $((100 * addresses)) ] || fail "100 pods have ${#own[@]} addresses"
[ "$(printf '%s\n' "${own[@]}" | sort -u | wc -l)" = $((100 * addresses)) ] || fail "an address is used twice"
# No pod listens: a pod that refuses is reached.
for node in "${nodes[@]}"; do
    # shellcheck disable=SC2016 # the node's shell expands it
    unreached=$(on "$node" bash -c 'for ip in "$@"; do
        timeout 5 bash -c "exec 3<>/dev/tcp/$ip/9" 2>&1 | grep -q "Connection refused" || echo "$ip"
    done' _ "${own[@]}")
    [ -z "$unreached" ] || fail "$node does not reach $(wc -l <<<"$unreached") of the addresses, such as $(head -n 1 <<<"$unreached")"
done

kubectl delete deployment/crowd --wait >/dev/null
gone() { [ "$(pods | jq '.items | length')" = 0 ]; }
eventually 180 "the pods are gone" gone
freed() { [ "$(leases)" = "$leased" ] || { echo "$(leases) leases, before $leased"; return 1; }; }
[ "$network" != podlan ] || eventually 120 "their addresses are free" freed
each=$(awk -v n=$((count - count_before)) -v s="$(awk -v a="$sum" -v b="$sum_before" 'BEGIN { print a - b }')" \
    'BEGIN { if (n) printf "%.0f", s / n * 1000; else print "unknown" }')
said "100 pods ready after $took s; ADD $each ms on average of $((count - count_before)); each of ${#nodes[@]} nodes reaches each"
