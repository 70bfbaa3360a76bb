//! The node's own side of a pod's link, before it is set up.

use netlink::{Sysctl, SysctlError};

/// Prepares a new host end before it is set up: the far side must not be its router, nor reach the node past IPv4.
pub(crate) fn close_v6(name: &str, pod_has_v6: bool) -> Result<(), SysctlError> {
    Sysctl::link_v6(name, "accept_ra").ensure("0")?;
    let disable = Sysctl::link_v6(name, "disable_ipv6");
    if pod_has_v6 {
        return disable.ensure("0");
    }
    match Sysctl::forwarding_v6().read()?.as_deref() {
        Some("1") => disable.ensure("1"),
        _ => Ok(()),
    }
}
