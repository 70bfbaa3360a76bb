//! The node's own side of a pod's link, before it is set up.

use cni::Error as CniError;
use netlink::{Family, ForwardingError, LinkSettings, Procfs, Socket};

use crate::agent;
use crate::config::{self, Keys};
use crate::error::{Activity, Error};

/// The MTU of a pod's link, bytes: the configuration's, or the one that pods of this node inherit. Refused where it is too
/// small for IPv6 and the pod has that.
pub(crate) fn pod_mtu(host: &mut Socket, keys: &Keys, pod_has_v6: bool, verb: Activity) -> Result<u32, CniError> {
    let (mtu, of) = match keys.mtu {
        Some(mtu) => (mtu, None),
        None => {
            let by_agent = || keys.agent.as_deref().and_then(agent::inherited_mtu);
            let inherited = netlink::inherited_mtu(host, by_agent).map_err(|error| verb.error(error))?;
            (inherited.mtu, Some(inherited.of))
        }
    };
    if pod_has_v6 {
        config::require_v6_mtu(mtu, of.as_ref())?;
    }
    Ok(mtu)
}

/// Prepares a new host end before it is set up: the far side must not be its router, nor reach a node that forwards IPv6
/// past IPv4. The link's IPv6 settings; `None` where the kernel has no IPv6, or the MTU is too small for it.
pub(crate) fn close_v6(
    host: &mut Socket,
    procfs: &Procfs,
    name: &str,
    pod_has_v6: bool,
) -> Result<Option<LinkSettings>, Error> {
    let Some(link) = LinkSettings::v6(procfs, name)? else {
        return match (pod_has_v6, netlink::kernel_has_v6()) {
            (false, _) => Ok(None),
            (true, false) => Err(ForwardingError::NoV6.into()),
            (true, true) => Err(Error::LinkVanished { name: name.to_owned() }),
        };
    };
    link.set("accept_ra", "0")?;
    if !pod_has_v6 && netlink::forwards(host, Family::V6)? == Some(true) {
        link.set("disable_ipv6", "1")?;
    }
    Ok(Some(link))
}
