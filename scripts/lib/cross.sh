# shellcheck shell=bash
# Sourced by the scripts that build: builds for aarch64 on another machine use Debian's cross compiler (`scripts/needs
# aarch64`) for the C code of the TLS library and to link.

# cross TARGET: whether it is such a target; then the variables that cargo and the crates need are set.
cross() {
    [[ $1 == aarch64-*-musl ]] && [ "$(uname -m)" != aarch64 ] || return 1
    export CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc AR_aarch64_unknown_linux_musl=aarch64-linux-gnu-ar
    export CFLAGS_aarch64_unknown_linux_musl=-U_FORTIFY_SOURCE
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=aarch64-linux-gnu-gcc
}
