# shellcheck shell=bash
# Sourced by the scripts that make a root file system of Debian.

# Prints this machine's settings of apt for how to fetch, not for what to fetch.
fetching() { apt-config dump --no-empty Acquire | grep -E '^Acquire::(https?|ftp|Check-|Retries|ForceIPv|Proxy)' || true; }
