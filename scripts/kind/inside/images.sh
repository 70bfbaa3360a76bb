# shellcheck shell=bash
# In kind's host: makes the images of Kubernetes' programs, puts them into the containerd of the node in /work/node, as
# `kind build node-image` does, and makes the node image of it. The images that are loaded later are archives:
# /work/agnhost.tar, which the smoke test names, and /work/kindnetd.tar.
#
#   images.sh SMOKE     the name of the smoke test's image
set -euo pipefail
smoke=$1 node=/work/node
version=$(cat "$node/kind/version")
path='ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
root=/work/root
rm -rf /work/archives && mkdir /work/archives

# root [ARCHIVE]: an empty root file system, or that of ARCHIVE.
root() {
    rm -rf $root && mkdir -p $root/{usr/local/bin,etc/ssl/certs,tmp,run,var}
    if [ $# != 0 ]; then tar --extract --numeric-owner --file "$1" --directory $root; fi
    chmod 1777 $root/tmp
    [ -e $root/etc/passwd ] || printf 'root:x:0:0:root:/:/sbin/nologin\n' >$root/etc/passwd
    cp -L /etc/ssl/certs/ca-certificates.crt $root/etc/ssl/certs/
}

# pack ARCHIVE IMAGE CHANGE...: the root file system as an image in an archive.
pack() {
    local archive=$1 image=$2 change changes=(--change "$path") && shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    tar --create --directory $root --numeric-owner --owner=0 --group=0 . | podman import --quiet "${changes[@]}" - "$image" >/dev/null
    rm -f "$archive"
    podman save --quiet --format docker-archive --output "$archive" "$image"
    podman rmi "$image" >/dev/null
    rm -rf $root
}

# program FILE PLACE IMAGE CHANGE...: an image of one static program.
program() {
    local file=$1 place=$2 image=$3 && shift 3
    root
    install -D -m 755 "$file" "$root$place"
    pack "/work/archives/$(basename "$file").tar" "$image" "$@"
}

# with FILE...: adds programs with their libraries.
with() {
    local file library
    for file in "$@"; do
        install -D -m 755 "$(readlink -f "$(command -v "$file")")" "$root/bin/$file"
        for library in $(ldd "$root/bin/$file" | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname "$library")"
            cp -L "$library" "$root$library"
        done
    done
}

# The root file system of a program that starts iptables: like the images that do so, it takes the kind that kubelet took.
with_iptables() {
    local name
    root /roots/kube-proxy.tar
    rm -rf ${root:?}/usr/share $root/var/lib/dpkg
    [ -e $root/bin ] || ln -s usr/bin $root/bin
    [ -e $root/sbin ] || ln -s usr/sbin $root/sbin
    for name in ip{,6}tables{,-save,-restore}; do
        rm -f "$root/usr/sbin/$name"
        cat >"$root/usr/sbin/$name" <<'END'
#!/bin/bash
kind=legacy
[[ $(xtables-nft-multi iptables-save -t mangle 2>/dev/null) != *KUBE-IPTABLES-HINT* ]] || kind=nft
exec xtables-$kind-multi "${0##*/}" "$@"
END
        chmod 755 "$root/usr/sbin/$name"
    done
}

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

# kind takes an archive into each node: docker's own format, of one image.
root
install -m 755 /kubernetes/agnhost $root/agnhost
with curl sh
pack /work/agnhost.tar "$smoke" 'ENTRYPOINT ["/agnhost"]'
rm -f /work/kindnetd.tar
if [ -e /programs/kindnetd ]; then
    with_iptables
    install -D -m 755 /programs/kindnetd $root/bin/kindnetd
    pack /work/kindnetd.tar localhost/kindnetd:kind 'ENTRYPOINT ["/bin/kindnetd"]'
fi

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
