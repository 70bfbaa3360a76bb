//! DEL: the lease last, so that no address is free while the node still routes it, and that a DEL which was killed is
//! told by the lease what is left to do (spec 1.1.0, section 2).
//! Succeeds on whatever is left: no namespace, no link, no lease, no store, another configuration than at ADD.

use std::net::IpAddr;
use std::path::Path;

use cni::{Attachment, Error as CniError, Request};
use netlink::Socket;
use podlink::{Identity, removal};

use crate::addressing::Addressing;
use crate::error::Error;

/// Detaches the pod.
pub(crate) fn del(request: &Request, attachment: &Attachment, netns: Option<&Path>) -> Result<(), CniError> {
    let addressing = Addressing::of_removal(request)?;
    let identity = Identity::of(&request.config.name, attachment);
    let mut host = Socket::open().map_err(Error::from)?;
    let linked = removal::remove_link(&mut host, &identity).map_err(Error::from)?;
    let leases = addressing.leases_of(attachment)?.unwrap_or_default();
    let held: Vec<IpAddr> = leases.iter().map(|lease| lease.address.ip()).collect();
    if !linked {
        for lease in &leases {
            removal::remove_routed(&mut host, &identity, lease.address.ip()).map_err(Error::from)?;
            removal::remove_adopted(&mut host, &identity, lease).map_err(Error::from)?;
        }
    }
    if let Some(path) = netns {
        removal::forget_rules(&host, path, &held).map_err(Error::from)?;
    }
    addressing.release(attachment)
}
