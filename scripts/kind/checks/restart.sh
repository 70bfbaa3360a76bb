# shellcheck shell=bash
# Both workers are stopped and start again with other addresses: the routes follow, and all pods reach each other.
set -euo pipefail
source "$(dirname "$0")/cluster.sh"

address() { podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}' "$1"; }
declare -A before
for node in "${workers[@]}"; do before[$node]=$(address "$node"); done
podman stop --time 20 "${workers[@]}" >/dev/null
began=$EPOCHREALTIME
# The other way round: where podman gives the first free address, the two change places.
podman start "${workers[1]}" >/dev/null
podman start "${workers[0]}" >/dev/null
for node in "${workers[@]}"; do
    [ "$(address "$node")" != "${before[$node]}" ] || fail "$node came back with its former address, ${before[$node]}"
done

# Each node routes each other's pod subnets to the address that it has now.
follow() {
    local node other cidr ip
    for node in "${nodes[@]}"; do
        for other in "${workers[@]}"; do
            [ "$node" != "$other" ] || continue
            for cidr in $(kubectl get node "$other" --output 'jsonpath={.spec.podCIDRs[*]}'); do
                ip=$(on "$node" ip route show exact "$cidr" 2>/dev/null | grep -oP 'via \K\S+')
                [[ " $(address "$other") " == *" $ip "* ]] || { echo "$node: $cidr via ${ip:-nothing}, $other has $(address "$other")"; return 1; }
            done
        done
    done
}
eventually 180 "the routes follow" follow
routes=$(since "$began")
ready() { kubectl wait --for condition=Ready nodes --all --timeout 1s; }
eventually 180 "all nodes are ready" ready
eventually 180 "all pods reach each other" smoke
said "both workers came back with other addresses: routes followed after $routes s, smoke passed after $(since "$began") s"
