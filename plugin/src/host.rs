//! The node's own side of a pod's link, before it is set up.

use netlink::{LinkSettings, Procfs, SysctlError};

/// Prepares a new host end before it is set up: the far side must not be its router, nor reach a node that forwards IPv6
/// past IPv4. Whether the link has IPv6 at all: not where the kernel has none, or the MTU is too small for it.
pub(crate) fn close_v6(procfs: &Procfs, name: &str, pod_has_v6: bool) -> Result<bool, SysctlError> {
    let Some(link) = LinkSettings::v6(procfs, name)? else { return Ok(false) };
    link.set("accept_ra", "0")?;
    if pod_has_v6 {
        link.ensure("disable_ipv6", "0")?;
    } else if link.forwards()? {
        link.set("disable_ipv6", "1")?;
    }
    Ok(true)
}
