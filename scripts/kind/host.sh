# shellcheck shell=bash
# The host of a kind cluster: one process tree in mount, network, PID, cgroup, UTS and IPC namespaces of its own, with a
# root file system of its own, below cgroups of its own. It has no way to the machine's network, devices or checkout
# (read-only). When its first process ends, all end.
#
# Who sources it has its own path in `script`, and in `variables` what the commands inside find in their environment.
# shellcheck disable=SC2154

# The folder of this run's cgroup in each hierarchy that the machine has mounted.
cgroups_of_the_host() {
    local controllers path mount
    while IFS=: read -r _ controllers path; do
        controllers=${controllers#name=}
        if [ -n "$controllers" ]; then
            mount=/sys/fs/cgroup/$controllers
        elif [ -d /sys/fs/cgroup/unified ]; then
            mount=/sys/fs/cgroup/unified
        else
            # Only the root of cgroup v2 may have both processes and children with controllers.
            mount=/sys/fs/cgroup path=''
        fi
        [ ! -d "$mount" ] || echo "$mount${path%/}/podlan-kind-$$"
    done </proc/self/cgroup
}

# Moves process $1 into the host's cgroups.
join_cgroups() {
    local cgroup
    for cgroup in $(cgroups_of_the_host); do
        [ ! -d "$cgroup/init" ] || cgroup=$cgroup/init
        echo "$1" >"$cgroup/cgroup.procs"
    done
}

# host_start ROOT NAME=FOLDER...: starts the host with the root file system in folder ROOT. Each FOLDER is /NAME in it,
# read-only, but that of `work`. Sets host_outer, the process to end, and host_init, the first process inside.
host_start() {
    local cgroup file
    rm -f "$1/.started"
    for cgroup in $(cgroups_of_the_host); do
        mkdir "$cgroup"
        for file in cpuset.cpus cpuset.mems; do
            # Without them no process may join (cgroup v1).
            [ ! -e "$cgroup/cgroup.clone_children" ] || [ ! -e "$cgroup/$file" ] || cat "${cgroup%/*}/$file" >"$cgroup/$file"
        done
    done
    (
        join_cgroups "$BASHPID"
        exec unshare --mount --net --pid --cgroup --uts --ipc --fork --kill-child --propagation private \
            bash "$(dirname "$script")/kind/inside/init.sh" "$@"
    ) &
    host_outer=$!
    until [ -e "$1/.started" ] && host_init=$(tr -d ' ' <"/proc/$host_outer/task/$host_outer/children"); do
        kill -0 $host_outer 2>/dev/null || { echo "kind's host did not start" >&2 && return 1; }
        sleep 0.1
    done
}

# inside COMMAND...: runs COMMAND in the host.
inside() {
    (
        join_cgroups "$BASHPID"
        exec nsenter --target "$host_init" --mount --net --pid --cgroup --uts --ipc env --ignore-environment \
            PATH=/programs:/kubernetes:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            HOME=/root TERM=dumb KIND_EXPERIMENTAL_PROVIDER=podman "${variables[@]}" "$@"
    )
}

# Ends all processes of the host, and removes its cgroups.
host_stop() {
    local cgroup
    kill -9 "$host_outer" 2>/dev/null || true
    wait "$host_outer" 2>/dev/null || true
    for cgroup in $(cgroups_of_the_host); do
        for _ in {1..100}; do
            find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
            [ -d "$cgroup" ] || break
            sleep 0.1
        done
    done
}
