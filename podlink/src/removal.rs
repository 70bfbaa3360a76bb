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
use crate::netns::Netns;
use crate::second::{ANY_TABLE, source_rule};

/// Removes the attachment's link, wherever its far end is now, and tells whether there was one; a foreign link of its
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

/// Removes the link that the caller has just made, under whatever name: somebody may have renamed it since, before any
/// route tells where it is. Looks at all links where the name is gone.
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
/// somebody has renamed or given another MAC or group (E-52): something of it still tells whose it is. The address alone
/// does not: another network with the same range may have given it to a pod that lives.
pub(crate) fn routed(host: &mut Socket, identity: &Identity, address: IpAddr) -> Result<Option<Link>, Error> {
    let ours = |route: &Route| route.protocol == POD_ROUTE && route.destination == IpNetwork::from(address);
    let route = Route::ask(host, Lookup::Entry, address)?.filter(ours);
    let Some(device) = route.and_then(|route| route.device) else { return Ok(None) };
    Ok(Link::find(host, Selector::Index(device))?.filter(|link| identity.is_told_by(link)))
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
/// somebody changed, and the rules of a second attachment in a pod that is still the one of the lease.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn detach(host: &mut Socket, network: &NetworkName, lease: &Lease) -> Result<(), Error> {
    let (address, proof) = (lease.address.ip(), &lease.proof);
    let identity = Identity::of(network, &lease.owner);
    if !remove_link(host, &identity)? {
        remove_routed(host, &identity, address)?;
        remove_adopted(host, &identity, lease)?;
    }
    if proof.netns_id.is_some() && ipam::netns_identity(&proof.netns) == proof.netns_id {
        forget_rules(host, &proof.netns, &[address])?;
    }
    Ok(())
}

/// Removes the link of an attachment that another plugin made and whose lease was taken over from that one's IPAM: the veth
/// of the name that the lease records, where the address is routed to that very link alone.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn remove_adopted(host: &mut Socket, identity: &Identity, lease: &Lease) -> Result<(), Error> {
    let Some(name) = lease.proof.host_link.as_deref().filter(|name| *name != identity.host_name) else {
        return Ok(());
    };
    let Some(link) = Link::find(host, Selector::Name(name))?.filter(|link| link.veth) else { return Ok(()) };
    let address = lease.address.ip();
    let route = Route::ask(host, Lookup::Entry, address)?;
    let leads_there = |route: Route| route.destination == IpNetwork::from(address) && route.device == Some(link.index);
    if route.is_some_and(leads_there) { remove(host, &link) } else { Ok(()) }
}

/// Takes a second attachment's rules from a pod that lives on: the link took its addresses and routes along, and left
/// them. Best effort: a namespace that cannot be entered any more has nothing left to forget.
///
/// # Errors
/// When the kernel cannot be asked, or refuses.
pub fn forget_rules(host: &Socket, netns: &Path, addresses: &[IpAddr]) -> Result<(), Error> {
    if addresses.is_empty() {
        return Ok(());
    }
    let own = Netns::of(host)?;
    let Ok(netns) = Netns::of_pod(netns, &own) else { return Ok(()) };
    if netns.enter().is_err() {
        return Ok(());
    }
    if let Ok(mut pod) = Socket::open() {
        let removals = addresses.iter().map(|&from| source_rule(from, ANY_TABLE).remove());
        let _ = pod.request(&mut removals.collect::<Vec<_>>());
    }
    Ok(own.enter()?)
}

/// All host ends of a network but those named. One whose text somebody changed is found by its lease instead.
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
    let verdicts = host.request(&mut [Link::remove(Selector::Index(link.index))])?;
    match verdicts.into_iter().next() {
        Some(Err(KernelError { errno: Errno::ENODEV, .. })) => Ok(()),
        Some(Err(source)) => Err(Error::Refused { operation: format!("remove link {}", link.name), source }),
        _ => Ok(()),
    }
}
