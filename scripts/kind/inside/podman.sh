# shellcheck shell=bash
# In kind's host: podman's settings, and nothing left of an earlier cluster.
set -euo pipefail
mkdir -p /etc/containers
cat >/etc/containers/containers.conf <<'END'
[containers]
pids_limit = 0
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
END
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
podman rm --all --force --time 0 >/dev/null
podman volume prune --force >/dev/null
rm -rf /root/.kube
