# shellcheck shell=bash
# In kind's host: makes the images of Kubernetes' programs, puts them into the containerd of the node in /work/node, as
# `kind build node-image` does, and makes the node image of it. The image that the smoke test names is the archive
# /work/agnhost.tar.
#
#   images.sh SMOKE     the name of the smoke test's image
set -euo pipefail
source "$(dirname "$0")/pack.sh"
smoke=$1 node=/work/node
version=$(cat "$node/kind/version")
rm -rf /work/archives && mkdir /work/archives

image_of() { kubeadm config images list --kubernetes-version "$version" 2>/dev/null | grep "/$1:"; }
for name in kube-apiserver kube-controller-manager kube-scheduler; do
    program "/kubernetes/$name" "/usr/local/bin/$name" "registry.k8s.io/$name:$version"
done
program /kubernetes/etcd /usr/local/bin/etcd "$(image_of etcd)"
program /kubernetes/coredns /coredns "$(image_of coredns)" 'ENTRYPOINT ["/coredns"]'
program /programs/pause /pause "$(sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$node/etc/containerd/config.toml")" 'ENTRYPOINT ["/pause"]'
with_iptables
install -D -m 755 /kubernetes/kube-proxy $root/usr/local/bin/kube-proxy
pack /work/archives/kube-proxy.tar "registry.k8s.io/kube-proxy:$version"

root
install -m 755 /kubernetes/agnhost $root/agnhost
with curl sh
pack /work/agnhost.tar "$smoke" 'ENTRYPOINT ["/agnhost"]'

# containerd says "failed to find the mount info" where its root is no mount point.
mount --bind $node $node
trap 'umount --recursive $node' EXIT
mount -t proc proc $node/proc
mount -t tmpfs run $node/run
mount -t tmpfs tmp $node/tmp
mkdir $node/tmp/archives
mount --bind /work/archives $node/tmp/archives
mount --rbind /dev $node/dev
# shellcheck disable=SC2016 # the node's shell expands it
chroot $node bash -ec '
    containerd >/tmp/log 2>&1 & containerd=$!
    for _ in {1..300}; do
        ! ctr version >/dev/null 2>&1 || break
        sleep 0.1
    done
    for archive in /tmp/archives/*.tar; do
        ctr --namespace k8s.io images import --all-platforms --no-unpack --digests "$archive" >/dev/null
    done
    kill $containerd
    wait $containerd || true'
umount --recursive $node
trap - EXIT

tar --create --directory $node --numeric-owner . | podman import --quiet \
    --change 'ENTRYPOINT ["/kind/bin/first","/usr/local/bin/entrypoint","/sbin/init"]' \
    --change 'ENV container=docker' --change 'STOPSIGNAL SIGRTMIN+3' - localhost/podlan-kind-node >/dev/null
rm -rf $node /work/archives
