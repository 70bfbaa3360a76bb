# shellcheck shell=bash
# The agents are replaced one after the other while one pod asks another on each family all the time: no request fails.
set -euo pipefail
source "$(dirname "$0")/cluster.sh"

image=$(sed -n 's/^ *image: //p' /podlan/deploy/smoke/smoke.yaml)
pod() {
    kubectl apply --filename - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  nodeName: $2
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: $image
    command: $3
END
}
pod server "${workers[0]}" '[/agnhost, netexec, --http-port=8080]'
kubectl wait --for condition=Ready pod/server --timeout 120s >/dev/null
urls=$(kubectl get pod server --output json | jq -r '.status.podIPs[].ip | if contains(":") then "http://[\(.)]:8080/" else "http://\(.):8080/" end' | paste -s -d ' ')
# shellcheck disable=SC2016 # the pod's shell expands it
loop='good=0; bad=0
until [ -e /tmp/stop ]; do
    for url in $0; do
        if curl --silent --output /dev/null --max-time 5 $url; then good=$((good + 1)); else bad=$((bad + 1)); fi
    done
done
echo "$good $bad"; exec /agnhost pause'
pod client "${workers[1]}" "$(jq --null-input --compact-output --arg loop "$loop" --arg urls "$urls" '["/bin/sh", "-c", $loop, $urls]')"
kubectl wait --for condition=Ready pod/client --timeout 120s >/dev/null

began=$EPOCHREALTIME
kubectl --namespace kube-system rollout restart daemonset/podlan >/dev/null
kubectl --namespace kube-system rollout status daemonset/podlan --timeout 300s >/dev/null
took=$(since "$began")
kubectl exec client -- sh -c ': >/tmp/stop'
counted() { kubectl logs client | grep -q .; }
eventually 60 "the client says what it counted" counted
read -r good bad < <(kubectl logs client)
kubectl delete pod server client --wait >/dev/null
[[ $bad = 0 && $good -gt 10 ]] || fail "of $((good + bad)) requests during the update $bad failed"
said "the agents were replaced within $took s: $good requests meanwhile, none failed"
