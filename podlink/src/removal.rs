//! The removal of host ends: of one attachment for DEL, of all that are not listed for GC.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use cni::NetworkName;
use ipam::Lease;
use ipnetwork::IpNetwork;
use netlink::{KernelError, Link, Lookup, POD_ROUTE, Route, Selector, Socket};
use nix::errno::Errno;

use crate::error::Error;
use crate::identity::{self, Identity};
use crate::netns::{Fault, Netns};
use crate::second::{ANY_TABLE, source_rule};

/// Removes the attachment's link, wherever its far end is now, and returns whether there was one; a foreign link of its
/// name stays.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_link(host: &mut Socket, identity: &Identity) -> Result<bool, Error> {
    let link = Link::find(host, Selector::Name(&identity.host_name))?.filter(|link| identity.is(link));
    match link {
        Some(link) => remove(host, &link).map(|()| true),
        None => Ok(false),
    }
}

/// Removes the attachment's link where `leased` says that the attachment has no lease (any more): what an ADD left that
/// was under way when its lease was taken back. To be called after a lease was taken back, by each that does: an ADD makes
/// its link before it looks whether its lease is still there, so that one of the two sees what the other did. A lease is
/// taken before a link is made, so that a link that was there before a look that finds no lease is unused.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_unleased(host: &mut Socket, identity: &Identity, leased: &dyn Fn() -> bool) -> Result<(), Error> {
    // By an ioctl first, which unlike the question by netlink waits for no other change of a link.
    if Link::index(host, &identity.host_name)?.is_none() {
        return Ok(());
    }
    match Link::find(host, Selector::Name(&identity.host_name))?.filter(|link| identity.is(link)) {
        Some(link) if !leased() => remove(host, &link),
        _ => Ok(()),
    }
}

/// Removes a link that the caller made, by its index; under whatever name: it may have been renamed since.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_index(host: &mut Socket, index: u32, name: &str) -> Result<(), Error> {
    let verdicts = host.request(&mut [Link::remove(Selector::Index(index))])?;
    match verdicts.into_iter().next() {
        Some(Err(KernelError { errno: Errno::ENODEV, .. })) => Ok(()),
        Some(Err(source)) => Err(Error::Refused { operation: format!("remove link {name}"), source }),
        _ => Ok(()),
    }
}

/// Removes the link that the caller has just made, under whatever name: it may have been renamed since, before any
/// route leads to it. Looks at all links where the name is gone.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_made(host: &mut Socket, identity: &Identity) -> Result<(), Error> {
    if remove_link(host, identity)? {
        return Ok(());
    }
    let renamed = |link: Link| identity.is_but_for_its_name(&link).then_some(link);
    let renamed = host.dump(Link::dump(), |message| Link::from_message(&message).and_then(renamed))?;
    renamed.iter().try_for_each(|link| remove(host, link))
}

/// The attachment's link where a pod route leads `address` to it. For an attachment that holds the address and whose link
/// was renamed or given another MAC or group (E-52): its name, MAC or alias still identifies it. The address alone
/// does not: another network with the same range may have given it to a pod that lives.
pub(crate) fn routed(host: &mut Socket, identity: &Identity, address: IpAddr) -> Result<Option<Link>, Error> {
    let ours = |route: &Route| route.protocol == POD_ROUTE && route.destination == IpNetwork::from(address);
    let route = Route::ask(host, Lookup::Entry, address)?.filter(ours);
    let Some(device) = route.and_then(|route| route.device) else { return Ok(None) };
    Ok(Link::find(host, Selector::Index(device))?.filter(|link| identity.is_named_by(link)))
}

/// Removes that link.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_routed(host: &mut Socket, identity: &Identity, address: IpAddr) -> Result<(), Error> {
    match routed(host, identity, address)? {
        Some(link) => remove(host, &link),
        None => Ok(()),
    }
}

/// Removes what the attachment of a lease has left: its link, also one that an ADD left before it wrote the text or that
/// was changed since, and the rules of a second attachment in a pod that is still the one of the lease. `is_held` is asked
/// between finding and removing: a lease that was given again meanwhile has another link by now, or will have.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn detach(
    host: &mut Socket,
    network: &NetworkName,
    lease: &Lease,
    is_held: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let (address, proof) = (lease.address.ip(), &lease.proof);
    let identity = Identity::of(network, &lease.owner);
    let mut link = Link::find(host, Selector::Name(&identity.host_name))?.filter(|link| identity.is(link));
    if link.is_none() {
        link = routed(host, &identity, address)?;
    }
    if link.is_none() {
        link = adopted(host, &identity, lease)?;
    }
    if !is_held() {
        return Ok(());
    }
    if let Some(link) = link {
        remove(host, &link)?;
    }
    if proof.netns_id.is_some() && ipam::netns_identity(&proof.netns) == proof.netns_id {
        forget_rules(host, &proof.netns, &[address])?;
    }
    Ok(())
}

/// Removes the link of an attachment that another plugin made and whose lease was taken over from that one's IPAM.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_adopted(host: &mut Socket, identity: &Identity, lease: &Lease) -> Result<(), Error> {
    match adopted(host, identity, lease)? {
        Some(link) => remove(host, &link),
        None => Ok(()),
    }
}

/// That link: the veth of the name that the lease records, where the address is routed to that very link alone.
fn adopted(host: &mut Socket, identity: &Identity, lease: &Lease) -> Result<Option<Link>, Error> {
    let Some(name) = lease.proof.host_link.as_deref().filter(|name| *name != identity.host_name) else {
        return Ok(None);
    };
    let Some(link) = Link::find(host, Selector::Name(name))?.filter(|link| link.veth) else { return Ok(None) };
    let address = lease.address.ip();
    let route = Route::ask(host, Lookup::Entry, address)?;
    let leads_there = |route: Route| route.destination == IpNetwork::from(address) && route.device == Some(link.index);
    Ok(route.is_some_and(leads_there).then_some(link))
}

/// Takes a second attachment's rules from a pod that lives on: the link took its addresses and routes along, and left
/// them. A namespace that is gone, or that cannot be entered any more, has nothing left to forget.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn forget_rules(host: &Socket, netns: &Path, addresses: &[IpAddr]) -> Result<(), Error> {
    if addresses.is_empty() {
        return Ok(());
    }
    let own = Netns::of(host)?;
    let entered = Netns::of_pod(netns, &own).and_then(|netns| netns.enter());
    match entered {
        // What is short for a moment is asked for again by the next DEL.
        Err(error) if error.fault() == Fault::Passing => return Err(error.into()),
        Err(_) => return Ok(()),
        Ok(()) => {}
    }
    let pod = Socket::open();
    let asked = pod.and_then(|mut pod| {
        let removals = addresses.iter().map(|&from| source_rule(from, ANY_TABLE).remove());
        pod.request(&mut removals.collect::<Vec<_>>())
    });
    own.enter()?;
    Ok(asked.map(drop)?)
}

/// All host ends of a network but those named. One whose alias was changed is found by its lease instead.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn strays(host: &mut Socket, network: &NetworkName, keep: &BTreeSet<String>) -> Result<Vec<Link>, Error> {
    let group = identity::group(network);
    let ours = |link: &Link| link.group == group && identity::is_of_network(link, network);
    let stray = |link: Link| (ours(&link) && !keep.contains(&link.name)).then_some(link);
    Ok(host.dump(Link::dump(), |message| Link::from_message(&message).and_then(stray))?)
}

/// Removes a link by its index; one that went by itself is no error.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove(host: &mut Socket, link: &Link) -> Result<(), Error> {
    remove_index(host, link.index, &link.name)
}
