# shellcheck shell=bash
# In kind's host: how an image is made of programs. Sourced by images.sh and kindnetd.sh.
path='ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
root=/work/root

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
