//! GC: everything of this network that is not listed goes, host ends before leases (spec 1.1.0, section 2, "GC").

use std::collections::BTreeSet;

use cni::{Attachment, Code, Error as CniError, Request};
use ipam::Lease;
use netlink::Socket;

use crate::addressing::Addressing;
use crate::error::Error;
use crate::identity::Identity;
use crate::removal;

/// Removes what no valid attachment needs. Goes on past failures and tells them all at the end.
pub(crate) fn gc(request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), CniError> {
    let addressing = Addressing::of_removal(request)?;
    let name_of = |attachment: &Attachment| Identity::of(&request.config.name, attachment).host_name;
    let mut host = Socket::open().map_err(Error::from)?;
    let (mut left, mut failures) = (BTreeSet::new(), Vec::new());
    let keep = valid.iter().map(name_of).collect();
    for stray in removal::strays(&mut host, &request.config.name, &keep)? {
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
        // A host end that an ADD left before it wrote the text, or of which somebody changed something, as in DEL.
        let gone = match removal::remove_link(&mut host, &identity) {
            Ok(false) => removal::remove_routed(&mut host, &identity, address.ip()),
            done => done.map(drop),
        };
        if let Err(error) = gone {
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
