#!/bin/bash
# The first process of a kind node, before kind's own entrypoint. A node is privileged: systemd and kubelet would write
# the machine's sysctls. All but those of its network namespace become read-only, and the six that kubelet would set have
# the values that it wants.
set -e
for folder in abi debug dev fs kernel user vm; do
    [ -d /proc/sys/$folder ] || continue
    mount --bind /proc/sys/$folder /proc/sys/$folder
    mount -o remount,bind,ro /proc/sys/$folder
done
mkdir -p /run/sysctls
while read -r name value; do
    [ "$(cat "/proc/sys/$name")" != "$value" ] || continue
    echo "$value" >"/run/sysctls/${name//\//-}"
    mount --bind "/run/sysctls/${name//\//-}" "/proc/sys/$name"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
exec "$@"
