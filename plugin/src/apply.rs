//! Puts a plan into effect: one datagram for each namespace, every verdict read.

use netlink::{Lookup, NewVeth, Route, Socket};
use nix::errno::Errno;

use crate::error::Error;
use crate::host;
use crate::plan::Operation;

/// Makes the veth pair. Which name was taken, when one was, is told from which side knows it.
pub(crate) fn make_pair(host: &mut Socket, pair: &NewVeth<'_>) -> Result<(), Error> {
    let [verdict] = host.request(&mut [pair.add()])?.try_into().unwrap_or([Ok(())]);
    verdict.map_err(|source| match source.errno {
        Errno::EEXIST => Error::HostLinkExists { name: pair.name.to_owned() },
        _ => Error::Refused { operation: format!("make the veth pair {} and {}", pair.name, pair.peer_name), source },
    })
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
    let holder = host::route_to(socket, Lookup::Entry, address)?;
    Ok(Error::AddressRouted { address, route: holder.as_ref().unwrap_or(route).to_string() })
}
