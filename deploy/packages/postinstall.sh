#!/bin/sh
# After the files of the package are in place. dpkg calls it with `configure` and, at an upgrade, the version before; rpm with
# the number of versions that are installed now. The first installation enables the agent, which starts at the next boot if
# /etc/podlan/nodes.yaml exists then. An upgrade replaces a running agent.
set -e
command -v systemctl >/dev/null 2>&1 || exit 0

case "$1" in
    configure) if [ -n "$2" ]; then first=no; else first=yes; fi ;;
    1) first=yes ;;
    [0-9]*) first=no ;;
    *) exit 0 ;;
esac
running=no
if [ -d /run/systemd/system ]; then
    running=yes
    systemctl daemon-reload || true
fi
if [ $first = yes ]; then
    systemctl enable podlan-node.service || true
elif [ $running = yes ]; then
    systemctl try-restart podlan-node.service || true
fi
