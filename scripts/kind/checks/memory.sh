# shellcheck shell=bash
# What the network's agent needs on a worker: its memory and processor time so far.
# shellcheck disable=SC2154 # the environment has `network`
set -euo pipefail
source "$(dirname "$0")/cluster.sh"

case $network in podlan) name=podlan-node ;; *) name=$network ;; esac
# shellcheck disable=SC2016 # the node's shell expands it
said "$name on ${workers[0]}: $(on "${workers[0]}" bash -c '
    process=$(pgrep -o -x "$1")
    read -ra stat <"/proc/$process/stat"
    awk "/^VmRSS/ { printf \"%.1f MB resident\", \$2 / 1024 }" "/proc/$process/status"
    awk -v ticks=$((stat[13] + stat[14])) "BEGIN { printf \", %.1f s of processor time\", ticks / 100 }"' _ "$name")"
