//! Puts a plan into effect: one datagram for each namespace, every verdict read.

use netlink::{KernelError, Link, LinkSettings, Lookup, NewVeth, Route, Selector, Socket};
use nix::errno::Errno;
use podlink::{Identity, removal};

use crate::error::Error;
use crate::plan::Operation;

/// Makes the veth pair. A host end of this very attachment that is there already is what an ADD left whose lease is
/// gone, and makes room; a foreign link of that name stays, and is named.
pub(crate) fn make_pair(host: &mut Socket, pair: &NewVeth<'_>, identity: &Identity) -> Result<(), Error> {
    match try_pair(host, pair)? {
        Err(refused) if refused.errno == Errno::EEXIST => {
            let taken = Error::HostLinkExists { name: pair.name.to_owned() };
            let stale = Link::find(host, Selector::Name(pair.name))?.filter(|link| identity.is(link)).ok_or(taken)?;
            removal::remove(host, &stale)?;
            try_pair(host, pair)?.map_err(|source| not_made(pair, source))
        }
        made => made.map_err(|source| not_made(pair, source)),
    }
}

fn try_pair(host: &mut Socket, pair: &NewVeth<'_>) -> Result<Result<(), KernelError>, Error> {
    Ok(host.request(&mut [pair.add()])?.pop().unwrap_or(Ok(())))
}

fn not_made(pair: &NewVeth<'_>, source: KernelError) -> Error {
    let operation = format!("make the veth pair {} and {}", pair.name, pair.peer_name);
    match source.errno {
        // "Unknown device type": of the few reasons for it, the only one that a pair has.
        Errno::EOPNOTSUPP => Error::NoVeth { operation, source },
        _ => Error::Refused { operation, source },
    }
}

/// Applies the operations in order; the first refused one is the error.
pub(crate) fn apply(socket: &mut Socket, operations: &[Operation]) -> Result<(), Error> {
    let refused = attempt(socket, operations)?;
    first_of(socket, refused)
}

/// The same for the end of a link that may have IPv6 switched off, as links of some hosts are born. Where an IPv6 address
/// is refused for that, it is switched on, and what was refused is done again: to look first would cost each other ADD.
pub(crate) fn apply_with_v6(socket: &mut Socket, operations: &[Operation], link: &LinkSettings) -> Result<(), Error> {
    let refused = attempt(socket, operations)?;
    if refused.iter().any(|(operation, source)| is_off(operation, source)) {
        link.write("disable_ipv6", "0")?;
        let again: Vec<Operation> = refused.into_iter().map(|(operation, _)| operation.clone()).collect();
        return apply(socket, &again);
    }
    first_of(socket, refused)
}

/// Asks for each of them; those that were refused.
fn attempt<'o>(socket: &mut Socket, operations: &'o [Operation]) -> Result<Vec<Refused<'o>>, Error> {
    let mut requests: Vec<_> = operations.iter().map(Operation::request).collect();
    let verdicts = socket.request(&mut requests)?;
    Ok(operations.iter().zip(verdicts).filter_map(|(operation, verdict)| Some((operation, verdict.err()?))).collect())
}

type Refused<'o> = (&'o Operation, KernelError);

fn first_of(socket: &mut Socket, refused: Vec<Refused<'_>>) -> Result<(), Error> {
    match refused.into_iter().next() {
        None => Ok(()),
        Some((Operation::Route(route), source)) if source.errno == Errno::EEXIST => {
            Err(name_the_holder(socket, route)?)
        }
        Some((operation, source)) => Err(Error::Refused { operation: in_words(socket, operation), source }),
    }
}

/// The links are asked for their names only after a refusal: it would cost each ADD a message.
pub(crate) fn in_words(socket: &mut Socket, operation: &Operation) -> String {
    let socket = std::cell::RefCell::new(socket);
    operation.in_words(&|index| link_name(&mut socket.borrow_mut(), index).unwrap_or_else(|| format!("if{index}")))
}

/// The name of the link with this index.
pub(crate) fn link_name(socket: &mut Socket, index: u32) -> Option<String> {
    Link::find(socket, Selector::Index(index)).ok().flatten().map(|link| link.name)
}

/// The kernel gives no IPv6 address to a link that has IPv6 switched off.
fn is_off(operation: &Operation, source: &KernelError) -> bool {
    matches!(operation, Operation::Address(address) if address.address.is_ipv6()) && source.errno == Errno::EACCES
}

/// A route of that destination exists: which.
fn name_the_holder(socket: &mut Socket, route: &Route) -> Result<Error, Error> {
    let address = route.destination.ip();
    let holder = Route::ask(socket, Lookup::Entry, address)?;
    let route = holder.as_ref().unwrap_or(route);
    Ok(Error::AddressRouted { address, route: route.shown(|index| link_name(socket, index)) })
}
