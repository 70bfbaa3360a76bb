//! DEL: the lease last, so that no address is free while the node still routes it, and that the lease says what is left to do
//! after a DEL which was killed (spec 1.1.0, section 2).
//! Succeeds on whatever is left: no namespace, no link, no lease, no store, another configuration than at ADD.

use std::net::IpAddr;
use std::path::Path;

use cni::{Attachment, Error as CniError, Request};
use netlink::Socket;
use podlink::{Identity, removal};

use crate::config::addressing_of_removal;
use crate::error::{Activity, Error};

/// Detaches the pod.
pub(crate) fn del(request: &Request, attachment: &Attachment, netns: Option<&Path>) -> Result<(), CniError> {
    let addressing = addressing_of_removal(request)?;
    let identity = Identity::of(&request.config.name, attachment);
    let mut host = Socket::open().map_err(failed)?;
    let _claim = addressing.outlast_add(attachment)?;
    let linked = removal::remove_link(&mut host, &identity).map_err(failed)?;
    let leases = addressing.leases_of(attachment)?.unwrap_or_default();
    let held: Vec<IpAddr> = leases.iter().map(|lease| lease.address.ip()).collect();
    if !linked {
        for lease in &leases {
            removal::remove_routed(&mut host, &identity, lease.address.ip()).map_err(failed)?;
            removal::remove_adopted(&mut host, &identity, lease).map_err(failed)?;
        }
    }
    if let Some(path) = netns {
        removal::forget_rules(&host, path, &held).map_err(failed)?;
    }
    addressing.release(attachment)?;
    // An ADD beside this DEL may have made its link since.
    removal::remove_unleased(&mut host, &identity, &|| addressing.is_leased(attachment)).map_err(failed)
}

fn failed(error: impl Into<Error>) -> CniError {
    Activity::Remove.error(error)
}
