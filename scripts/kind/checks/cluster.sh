# shellcheck shell=bash
# What the checks in a kind cluster share. They run in kind's host, each as `bash FILE`, with the cluster's name in
# `cluster`, the address families in `family`, the mode of kube-proxy in `proxy`, and the network in `network`.
# shellcheck disable=SC2034,SC2154
export KUBECONFIG=/root/.kube/config
mapfile -t nodes < <(kubectl get nodes --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}')
mapfile -t workers < <(printf '%s\n' "${nodes[@]}" | grep -e -worker)
case $family in dual) addresses=2 ;; *) addresses=1 ;; esac
smoke_options=()
[ "$proxy" != none ] || smoke_options=(--no-service)

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# eventually SECONDS WHAT COMMAND...: until COMMAND succeeds.
eventually() {
    local seconds=$1 what=$2 last=$((SECONDS + $1)) && shift 2
    until "$@" >/tmp/eventually 2>&1; do
        [ $SECONDS -lt $last ] || fail "not within $seconds s: $what: $(tail -n 5 /tmp/eventually)"
        sleep 0.5
    done
}

on() { local node=$1 && shift && podman exec "$node" "$@"; }
smoke() { (cd /podlan && scripts/smoke "${smoke_options[@]}" kubectl); }
# Seconds since $1, an EPOCHREALTIME.
since() { awk -v began="$1" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f", now - began }'; }
# The agents' pods, or that on node $1.
agents() {
    kubectl --namespace kube-system get pods --selector app.kubernetes.io/name=podlan --output name \
        ${1:+--field-selector spec.nodeName=$1}
}
agent() { local node=$1 && shift && kubectl --namespace kube-system exec "$(agents "$node")" -- podlan-node "$@"; }
said() { echo "result: $*"; }
