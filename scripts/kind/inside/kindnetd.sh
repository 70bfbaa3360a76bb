# shellcheck shell=bash
# In kind's host: makes the image of kindnetd, as the archive /work/kindnetd.tar.
set -euo pipefail
source "$(dirname "$0")/pack.sh"
with_iptables
install -D -m 755 /programs/kindnetd $root/bin/kindnetd
pack /work/kindnetd.tar localhost/kindnetd:kind 'ENTRYPOINT ["/bin/kindnetd"]'
