# shellcheck shell=bash
# What a kind cluster could change on the machine, as lines to compare: links, addresses, routes, rules, packet filter,
# settings, module parameters, cgroups, mounts.

# Values that the kernel or any process changes at any time.
restless='/(random/.*|ns_last_pid|pty/nr|stat_refresh|binfmt_misc/.*|sched_domain/.*)$'

machine_state() {
    local file
    for file in /sys/class/net/*; do echo "link $file $(cat "$file/ifindex" "$file/flags" 2>/dev/null | paste -s)"; done
    if command -v ip >/dev/null; then
        ip -brief address | sed 's/^/address /'
        for file in -4 -6; do
            ip $file route show table all | sed -e 's/ expires [0-9]*sec//' -e 's/^/route /'
            ip $file rule | sed 's/^/rule /'
        done
    fi
    if command -v nft >/dev/null; then nft --stateless list ruleset | sed 's/^/filter /'; fi
    find /proc/sys /sys/module/*/parameters -type f -perm /222 2>/dev/null | grep -vE "$restless" | LC_ALL=C sort |
        xargs --delimiter '\n' grep --text --no-messages --with-filename '' | sed 's/^/setting /' || true
    # Other containers of this machine come and go: only those that a kind cluster makes.
    find /sys/fs/cgroup -type d | grep -E '/(podlan-kind|libpod|kubelet|kubepods|conmon)' | grep -vE "/podlan-kind-$$(/|\$)" |
        sed 's/^/cgroup /' || true
    cut -d ' ' -f 5 /proc/self/mountinfo | grep podlan/kind | sed 's/^/mount /' || true
}

# The kernel loads a module for whoever first needs it, in a namespace too. One without modules has no such file.
modules() { if [ -e /proc/modules ]; then cut -d ' ' -f 1 /proc/modules | LC_ALL=C sort; fi; }
