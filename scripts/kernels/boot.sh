# shellcheck shell=bash
# shellcheck disable=SC2154 # the caller has them
# Sourced by scripts/test-kernels: a guest from its start to its end. The caller has $most (seconds of a test) and $ends (when
# no more is begun, in seconds of this shell).

# boot FOLDER MACHINE OUT ROOT: starts the guest; $guest is its process.
boot() {
    local qemu
    case $2 in
        x86_64) qemu=(qemu-system-x86_64 -cpu max -append "console=ttyS0 panic=-1 quiet") ;;
        aarch64) qemu=(qemu-system-aarch64 -M virt -cpu "max,pauth-impdef=on" -append "console=ttyAMA0 panic=-1 quiet") ;;
    esac
    qemu+=(-accel "tcg,thread=multi" -smp 1 -m 4096 -nic none -nographic -no-reboot
        -kernel "$1/kernel" -initrd "$1/initramfs" -device virtio-rng-pci
        -virtfs "local,path=$4,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
        -virtfs "local,path=$3,mount_tag=out,security_model=none,multidevs=remap")
    : >"$3/shares"
    if [ "$4" != / ]; then
        echo "tree $PWD" >>"$3/shares"
        echo "kernel $1" >>"$3/shares"
        qemu+=(-virtfs "local,path=$PWD,mount_tag=tree,security_model=none,readonly=on,multidevs=remap"
            -virtfs "local,path=$1,mount_tag=kernel,security_model=none,readonly=on,multidevs=remap")
    fi
    "${qemu[@]}" </dev/null >>"$3/console" 2>&1 &
    guest=$!
}

# watch OUT: until the guest ends, prints its results; ends a guest that has none for too long.
watch() {
    local patience seen=0 count
    while kill -0 "$guest" 2>/dev/null; do
        count=$(grep -ac '^guest: \(passed\|failed\|skipped\) ' "$1/console" || true)
        [ "$count" = "$seen" ] || grep -a '^guest: \(passed\|failed\|skipped\) ' "$1/console" | tail -n +$((seen + 1)) | sed 's/^guest: /  /'
        seen=$count
        patience=$((most + 300))
        if [ -e "$1/now" ] && [ $(($(date +%s) - $(stat --format %Y "$1/now"))) -gt $patience ]; then
            echo "  the guest hangs in $(cat "$1/now")"
            kill -9 "$guest"
        fi
        [ $SECONDS -lt "$ends" ] || kill "$guest" 2>/dev/null || true
        sleep 1
    done
    wait "$guest" || true
}

# hung OUT: writes down the test during which a guest ended; fails where that was none.
hung() {
    local now program file
    now=$(cat "$1/now") program=${now%%::*}
    file=$(awk -v program="$program" '$1 == program { print $4 }' "$1/jobs")
    [ "$now" != demo ] || file=$(sed -n 's/^demo_results=//p' "$1/environment")
    [ -n "$file" ] && ! cut -f 3 "$1/results/$file" 2>/dev/null | grep -qxF "$now" || return 1
    printf 'failed\t0\t%s\tthe kernel ended or hung: %s\n' "$now" \
        "$(grep -aoE 'Kernel panic.*|BUG: .*|Oops: .*' "$1/console" | tail -n 1 | tr '\r\t' '  ')" >>"$1/results/$file"
}
