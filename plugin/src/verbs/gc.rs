//! GC: everything of this network that is not listed goes, host ends before leases (spec 1.1.0, section 2, "GC").

use std::collections::BTreeSet;

use cni::{Attachment, Code, Error as CniError, Request};
use ipam::Lease;
use netlink::Socket;

use crate::addressing::Addressing;
use crate::error::Error;
use crate::identity::{self, Identity};
use crate::removal;

/// Removes what no valid attachment needs. Goes on past failures and tells them all at the end.
pub(crate) fn gc(request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), CniError> {
    let addressing = Addressing::of_removal(request)?;
    let name_of = |attachment: &Attachment| Identity::of(&request.config.name, attachment).host_name;
    let mut host = Socket::open().map_err(Error::from)?;
    let (mut left, mut failures) = (BTreeSet::new(), Vec::new());
    let keep = valid.iter().map(name_of).collect();
    for stray in removal::strays(&mut host, identity::group(&request.config.name), &keep)? {
        if let Err(error) = removal::remove(&mut host, &stray) {
            failures.push(error.to_string());
            left.insert(stray.name);
        }
    }
    let mut needed = valid.clone();
    let leases = match addressing.leases() {
        Err(error) if !left.is_empty() => return Err(error),
        // What cannot be read is told by the taking back, which goes on past it.
        leases => leases.unwrap_or_default(),
    };
    for Lease { owner, address, proof, .. } in leases.into_iter().filter(|lease| !valid.contains(&lease.owner)) {
        let identity = Identity::of(&request.config.name, &owner);
        // A link that stays keeps its lease.
        if left.contains(&identity.host_name) {
            needed.insert(owner);
            continue;
        }
        // Of a host end whose name or group somebody changed the address tells, as in DEL.
        if let Err(error) = removal::remove_routed(&mut host, &identity, address.ip()) {
            failures.push(error.to_string());
            needed.insert(owner);
            continue;
        }
        if ipam::netns_identity(&proof.netns) == proof.netns_id {
            removal::forget_rules(&proof.netns, &[address.ip()])?;
        }
    }
    addressing.retain(&needed)?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::Kernel, "garbage is left").with_details(failures.join("; ")))
}
