//! Puts a plan into effect: one datagram for each namespace, every verdict read.

use netlink::{KernelError, Link, Lookup, NewVeth, Route, Selector, Socket};
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
    Error::Refused { operation: format!("make the veth pair {} and {}", pair.name, pair.peer_name), source }
}

/// Applies the operations in order; the first refused one is the error.
pub(crate) fn apply(socket: &mut Socket, operations: &[Operation]) -> Result<(), Error> {
    let mut requests: Vec<_> = operations.iter().map(Operation::request).collect();
    let verdicts = socket.request(&mut requests)?;
    for (operation, verdict) in operations.iter().zip(verdicts) {
        let Err(source) = verdict else { continue };
        if let (Operation::Route(route), Errno::EEXIST) = (operation, source.errno) {
            return Err(name_the_holder(socket, route)?);
        }
        return Err(Error::Refused { operation: operation.to_string(), source });
    }
    Ok(())
}

/// A route of that destination exists: which.
fn name_the_holder(socket: &mut Socket, route: &Route) -> Result<Error, Error> {
    let address = route.destination.ip();
    let holder = Route::ask(socket, Lookup::Entry, address)?;
    Ok(Error::AddressRouted { address, route: holder.as_ref().unwrap_or(route).to_string() })
}
