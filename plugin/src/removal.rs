//! The removal of host ends: of one attachment for DEL, of all that are not listed for GC.

use std::collections::BTreeSet;

use netlink::{HOST_LINK_PREFIX, KernelError, Link, Selector, Socket};
use nix::errno::Errno;

use crate::error::Error;
use crate::host;
use crate::identity::Identity;

/// Removes the attachment's link, wherever its far end is now. No link is no error; a foreign link of its name stays.
pub(crate) fn remove_link(host: &mut Socket, identity: &Identity) -> Result<(), Error> {
    let link = host::link(host, Selector::Name(&identity.host_name))?.filter(|link| identity.is(link));
    match link {
        Some(link) => remove(host, &link),
        None => Ok(()),
    }
}

/// All host ends of a network but those named.
pub(crate) fn strays(host: &mut Socket, group: u32, keep: &BTreeSet<String>) -> Result<Vec<Link>, Error> {
    let ours = |link: &Link| link.veth && link.group == group && link.name.starts_with(HOST_LINK_PREFIX);
    let stray = |link: Link| (ours(&link) && !keep.contains(&link.name)).then_some(link);
    Ok(host.dump(Link::dump(), |message| Link::from_message(&message).and_then(stray))?)
}

/// Removes a link by its index; one that went by itself is no error.
pub(crate) fn remove(host: &mut Socket, link: &Link) -> Result<(), Error> {
    let verdicts = host.request(&mut [Link::remove(Selector::Index(link.index))])?;
    match verdicts.into_iter().next() {
        Some(Err(KernelError { errno: Errno::ENODEV, .. })) => Ok(()),
        Some(Err(source)) => Err(Error::Refused { operation: format!("remove link {}", link.name), source }),
        _ => Ok(()),
    }
}
