//! GC: everything of this network that is not listed goes, host ends before leases (spec 1.1.0, section 2, "GC").

use std::collections::BTreeSet;

use cni::{Attachment, Code, Error as CniError, Request};
use ipam::Lease;
use netlink::Socket;
use podlink::{Identity, removal};

use crate::addressing::Addressing;
use crate::error::Error;

/// Removes what no valid attachment needs. Goes on past failures and tells them all at the end.
pub(crate) fn gc(request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), CniError> {
    let addressing = Addressing::of_removal(request)?;
    let network = &request.config.name;
    let name_of = |attachment: &Attachment| Identity::of(network, attachment).host_name;
    let mut host = Socket::open().map_err(Error::from)?;
    let (mut left, mut failures) = (BTreeSet::new(), Vec::new());
    let keep = valid.iter().map(name_of).collect();
    for stray in removal::strays(&mut host, network, &keep).map_err(Error::from)? {
        if let Err(error) = removal::remove(&mut host, &stray) {
            failures.push(error.to_string());
            left.insert(stray.name);
        }
    }
    let mut detach = |lease: &Lease| {
        // A link that stays keeps its lease.
        if left.contains(&name_of(&lease.owner)) {
            return false;
        }
        removal::detach(&mut host, network, lease).map_err(|error| failures.push(error.to_string())).is_ok()
    };
    addressing.retain(valid, &mut detach)?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::Kernel, "garbage is left").with_details(failures.join("; ")))
}
