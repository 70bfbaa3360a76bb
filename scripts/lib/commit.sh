# Sourced by the scripts that build podlan-node: PODLAN_COMMIT is the commit of
# the sources, which `podlan-node --version` and its log show. Where git does not
# know it, it is unknown; two builds of one value are the same bytes.
PODLAN_COMMIT=${PODLAN_COMMIT:-$(git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown)}
export PODLAN_COMMIT
