//! DEL: the lease last, so that no address is free while the node still routes it, and that the lease says what is left to do
//! after a DEL which was killed (spec 1.1.0, section 2).
//! Succeeds on whatever is left: no namespace, no link, no lease, no store, another configuration than at ADD.

use std::net::IpAddr;
use std::path::Path;

use cni::{Attachment, Error as CniError, Request};
use ipam::Place;
use netlink::Socket;
use podlink::{Identity, removal};

use crate::addressing::Addressing;
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
    release_ports(request, attachment, &addressing, &identity)?;
    if let Some(path) = netns {
        removal::forget_rules(&host, path, &held).map_err(failed)?;
    }
    addressing.release(attachment)?;
    // An ADD beside this DEL may have made its link since.
    removal::remove_unleased(&mut host, &identity, &|| addressing.is_leased(attachment)).map_err(failed)
}

/// Before the lease: the ports must not lead to the address's next owner. What portmap left goes as well, where the container
/// is said to have ports: the list that ADD ran may have had portmap.
fn release_ports(
    request: &Request,
    attachment: &Attachment,
    addressing: &Addressing<'_, Result<Place, CniError>>,
    identity: &Identity,
) -> Result<(), CniError> {
    // Without a place there is no record; what is wrong with it is said at the lease.
    if let Ok(ports) = addressing.ports() {
        ports.release(&identity.host_name)?;
    }
    if !request.config.runtime.port_mappings.is_empty() {
        hostport::portmap::forget(&request.config.name, &attachment.container_id)?;
    }
    Ok(())
}

fn failed(error: impl Into<Error>) -> CniError {
    Activity::Remove.error(error)
}
