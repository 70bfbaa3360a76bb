# shellcheck shell=bash
# Sourced by the scripts that build podlan-node: PODLAN_COMMIT is the commit of
# the sources and PODLAN_COMMIT_DATE its date, which `podlan-node --version`
# shows; SOURCE_DATE_EPOCH is its time, which every file in a package has. Where
# git does not know the commit, it is unknown; two builds of the same values are
# the same bytes.
PODLAN_COMMIT=${PODLAN_COMMIT:-$(git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
PODLAN_COMMIT_DATE=''
[ "$PODLAN_COMMIT" = unknown ] || PODLAN_COMMIT_DATE=$(date --utc --date "@$SOURCE_DATE_EPOCH" +%F)
export PODLAN_COMMIT PODLAN_COMMIT_DATE SOURCE_DATE_EPOCH
