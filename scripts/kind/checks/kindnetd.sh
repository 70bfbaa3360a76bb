# shellcheck shell=bash
# A cluster like that of scripts/kind-up, with kind's own network in place of podlan.
# shellcheck disable=SC2154 # the environment
set -euo pipefail
case $family in
    ipv4) subnets=10.244.0.0/16 ;;
    ipv6) subnets=fd00:10:244::/56 ;;
    dual) subnets=10.244.0.0/16,fd00:10:244::/56 ;;
esac
kind create cluster --name "$cluster" --image "$image" --config - <<END
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {disableDefaultCNI: true, ipFamily: $family, kubeProxyMode: $proxy, apiServerAddress: 127.0.0.1}
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
END
kind load image-archive /work/agnhost.tar --name "$cluster"
kind load image-archive /work/kindnetd.tar --name "$cluster"
sed "s|{{ .PodSubnet }}|\"$subnets\"|" /programs/kindnetd.yaml | kubectl apply --filename -
kubectl --namespace kube-system rollout status daemonset/kindnet --timeout 180s
kubectl wait --for condition=Ready nodes --all --timeout 180s
cd /podlan && scripts/smoke kubectl
