# shellcheck shell=bash
# In kind's host: makes the root file system of a node in /work/node, as the Dockerfile of kind's images/base does, of
# Debian's packages, kind's own files and Kubernetes' programs.
set -euo pipefail
node=/work/node files=/programs/files
rm -rf "$node" && mkdir "$node"
tar --extract --numeric-owner --file /roots/base.tar --directory "$node"

install -m 755 -D --target-directory "$node/usr/local/bin" "$files"/usr/local/bin/*
install -m 755 -D --target-directory "$node/kind/bin" "$files"/kind/bin/*
cp -r "$files/etc" "$node/"
mkdir -p "$node"/{kind/manifests,opt/cni/bin,etc/kubernetes/manifests}

# Only the services of a node.
units=$node/lib/systemd/system
rm -f "$units"/{sysinit.target.wants/systemd-tmpfiles-setup.service,multi-user.target.wants/*,local-fs.target.wants/*} \
    "$units"/{sockets.target.wants/*udev*,sockets.target.wants/*initctl*,basic.target.wants/*} \
    "$node"/etc/systemd/system/*.wants/*
echo ReadKMsg=no >>"$node/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$node/sbin/init"
chroot "$node" systemctl --quiet enable kubelet.service containerd.service undo-mount-hacks.service
chroot "$node" systemctl --quiet mask systemd-binfmt.service

install -m 755 /containerd/bin/{containerd,ctr,containerd-shim-runc-v2} "$node/usr/local/bin/"
install -m 755 "$node"/usr/lib/cni/{host-local,loopback,ptp,portmap} "$node/opt/cni/bin/"
rm -rf "$node/etc/cni"
install -m 755 /kubernetes/{kubelet,kubectl} /programs/kubeadm "$node/usr/bin/"
kubeadm version --output short >"$node/kind/version"
chroot "$node" ctr oci spec | jq '.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    >"$node/etc/containerd/cri-base.json"
printf 'apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: standard}\nprovisioner: none\n' \
    >"$node/kind/manifests/default-storage.yaml"
: >"$node/kind/manifests/default-cni.yaml"

# What differs from kind's own: cgroup v1 is allowed; no oom_score_adj below the present one, which takes CAP_SYS_RESOURCE;
# containerd counts what network plugins take.
echo 'KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service --fail-cgroupv1=false' >"$node/etc/default/kubelet"
sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$node/etc/containerd/config.toml"
printf '\n[metrics]\n  address = "127.0.0.1:1338"\n' >>"$node/etc/containerd/config.toml"
install -m 755 /podlan/scripts/kind/inside/first.sh "$node/kind/bin/first"
rm -rf "$node"/var/{cache/apt,lib/apt/lists,log}/*
