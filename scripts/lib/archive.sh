# shellcheck shell=bash
# Sourced by the scripts that make archives: the same contents and the same SOURCE_DATE_EPOCH give the same bytes.

# archive FOLDER ARGUMENT...: writes a tar of FOLDER to stdout; the arguments go to tar.
archive() {
    local folder=$1 && shift
    tar --create --directory "$folder" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@${SOURCE_DATE_EPOCH:?}" "$@"
}

# The version of podlan, and an architecture by the name that packages and images have.
version() { sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml; }
goarch() {
    case $1 in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
    esac
}
