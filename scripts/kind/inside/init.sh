# shellcheck shell=bash
# The first process of kind's host: makes its file system and cgroups, and waits.
#
#   init.sh ROOT NAME=FOLDER...
set -euo pipefail
root=$1 && shift
hostname kindhost
mount --bind "$root" "$root"
cd "$root"
rm -f .started
mkdir -p old proc sys dev run tmp lib/modules
mount -t proc proc proc
mount -t sysfs sysfs sys

# The hierarchies that the machine has, each from this process' own cgroup downwards.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    # A cgroup whose children have controllers has no processes of its own.
    mkdir -p sys/fs/cgroup/init
    echo 1 >sys/fs/cgroup/init/cgroup.procs
    read -ra controllers <sys/fs/cgroup/cgroup.controllers
    for controller in "${controllers[@]}"; do
        echo "+$controller" >sys/fs/cgroup/cgroup.subtree_control
    done
else
    mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
    while IFS=: read -r _ controllers _; do
        name=${controllers#name=}
        mkdir "sys/fs/cgroup/${name:-unified}"
        case $controllers in
            '') mount -t cgroup2 cgroup2 sys/fs/cgroup/unified ;;
            name=*) mount -t cgroup -o "none,$controllers" cgroup "sys/fs/cgroup/$name" ;;
            *) mount -t cgroup -o "$controllers" cgroup "sys/fs/cgroup/$name" ;;
        esac
    done </proc/self/cgroup
fi

# kind's nodes are privileged: they get every device that is here. No disk, no watchdog.
mount -t tmpfs -o mode=755 dev dev
mkdir dev/{pts,shm,mqueue}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs shm dev/shm
mount -t mqueue mqueue dev/mqueue
for device in null zero full random urandom tty fuse kmsg; do
    [ ! -e "/dev/$device" ] || cp -a "/dev/$device" dev/
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin && ln -s fd/1 dev/stdout && ln -s fd/2 dev/stderr
mount -t tmpfs run run
mount -t tmpfs tmp tmp

for pair in "$@"; do
    name=${pair%%=*}
    mkdir -p "$name"
    mount --bind "${pair#*=}" "$name"
    [ "$name" = work ] || mount -o remount,bind,ro "$name"
done
pivot_root . old
cd /
umount -l /old
ip link set lo up
: >/.started
# It reaps what its children leave; `sleep` alone would not.
while :; do
    sleep 1000 &
    wait $!
done
