//! The node's own side of a pod's link, before it is set up.

use netlink::{Sysctl, SysctlError};

/// Prepares a new host end before it is set up: the far side must not be its router, nor reach a node that forwards IPv6
/// past IPv4. Whether the link has IPv6 at all: not where the kernel has none, or the MTU is too small for it.
pub(crate) fn close_v6(name: &str, pod_has_v6: bool) -> Result<bool, SysctlError> {
    let link_has_v6 = Sysctl::link_v6(name, "accept_ra").set("0")?;
    let disable = Sysctl::link_v6(name, "disable_ipv6");
    if pod_has_v6 {
        disable.ensure("0")?;
    } else if link_has_v6 && Sysctl::forwarding_v6().read()?.as_deref() == Some("1") {
        disable.set("1")?;
    }
    Ok(link_has_v6)
}
