//! DEL: link first, then lease, so that no address is free while the node still routes it (spec 1.1.0, section 2).
//! Succeeds on whatever is left: no namespace, no link, no lease, no store, another configuration than at ADD.

use std::net::IpAddr;
use std::path::Path;

use cni::{Attachment, Error as CniError, Request};
use netlink::Socket;

use crate::addressing::Addressing;
use crate::error::Error;
use crate::identity::Identity;
use crate::netns::Netns;
use crate::plan;
use crate::removal;

/// Detaches the pod.
pub(crate) fn del(request: &Request, attachment: &Attachment, netns: Option<&Path>) -> Result<(), CniError> {
    let addressing = Addressing::of_removal(request)?;
    let identity = Identity::of(&request.config.name, attachment);
    let mut host = Socket::open().map_err(Error::from)?;
    if !removal::remove_link(&mut host, &identity)? {
        for address in addressing.held(attachment)?.unwrap_or_default() {
            removal::remove_routed(&mut host, address)?;
        }
    }
    let released = addressing.release(attachment)?;
    if let Some(path) = netns.filter(|_| !released.is_empty()) {
        forget_rules(path, &released);
    }
    Ok(())
}

/// The link took its addresses and routes along; a second attachment's rules stay in a pod that lives on. Best effort:
/// a namespace that cannot be entered any more has nothing left to forget.
fn forget_rules(path: &Path, released: &[IpAddr]) {
    let Ok(netns) = Netns::own().and_then(|own| Netns::of_pod(path, &own)) else { return };
    if netns.enter().is_err() {
        return;
    }
    if let Ok(mut pod) = Socket::open() {
        let removals = released.iter().map(|&from| plan::source_rule(from, plan::ANY_TABLE).remove());
        let _ = pod.request(&mut removals.collect::<Vec<_>>());
    }
}
