#!/bin/sh
# Before the files of the package are removed. dpkg calls it with `remove`, rpm with 0; both with something else at an upgrade.
# Only the agent ends: routes, rules, plugins and configuration stay, so that running pods keep their network.
# `podlan-node cleanup` removes them, before the package is removed.
set -e
case "$1" in
    remove | 0) ;;
    *) exit 0 ;;
esac
command -v systemctl >/dev/null 2>&1 || exit 0
if [ -d /run/systemd/system ]; then
    systemctl stop podlan-node.service || true
fi
systemctl disable podlan-node.service || true
