//! `podlan-node leases --release ADDRESS`: takes back one lease by the word of an operator, unless its owner lives. Exit code
//! 0: released; 1: not released, because the owner lives, or nothing has the address; 2: not released, because nothing could
//! be learned about the owner, or the store could not be read or written.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use cni::NetworkName;
use ipam::{Lease, Liveness, Place, Presence, Stamp};
use netlink::Socket;
use podlink::HostLinks;
use serde_json::json;

use inspect::leases::release::{Refusal, judge};

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{address} is not leased ({networks})")]
    NotLeased { address: IpAddr, networks: String },
    #[error("{address} is leased in several networks ({networks}): add --network NAME")]
    Ambiguous { address: IpAddr, networks: String },
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{address} is not leased any more: another process released it at the same time")]
    Late { address: IpAddr },
    #[error("an ADD of its attachment is under way: {0}")]
    Claimed(#[source] ipam::Error),
    #[error("{0}")]
    Store(#[from] ipam::Error),
}

impl Error {
    fn code(&self) -> u8 {
        match self {
            Self::NotLeased { .. } | Self::Ambiguous { .. } | Self::Late { .. } | Self::Claimed(_) => 1,
            Self::Refused(refusal) => {
                if refusal.is_known() {
                    1
                } else {
                    2
                }
            }
            Self::Store(_) => 2,
        }
    }
}

/// Releases the lease of `address` in the stores below `data_dirs`, and says so.
pub(super) fn run(data_dirs: &[PathBuf], address: IpAddr, network: Option<&str>, json: bool) -> ExitCode {
    let released = release(data_dirs, address, network);
    let said = match (&released, json) {
        (Ok((network, lease)), true) => print(&json!({
            "released": { "network": network.as_str(), "address": address, "containerId": lease.owner.container_id.as_str(),
                "ifname": lease.owner.ifname.as_str() },
        })),
        (Err(error), true) => print(&json!({ "released": null, "error": error.to_string() })),
        (Ok((network, lease)), false) => writeln!(
            io::stdout(),
            "released {address} of {} {} ({network})",
            lease.owner.container_id.as_str(),
            lease.owner.ifname.as_str()
        ),
        (Err(error), false) => writeln!(io::stderr(), "failed to release {address}: {error}"),
    };
    match (said, released) {
        (Err(_), _) => ExitCode::FAILURE,
        (Ok(()), Ok(_)) => ExitCode::SUCCESS,
        (Ok(()), Err(error)) => ExitCode::from(error.code()),
    }
}

fn print(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value}")
}

fn release(data_dirs: &[PathBuf], address: IpAddr, network: Option<&str>) -> Result<(NetworkName, Lease), Error> {
    let (mut found, mut read) = (Vec::new(), Vec::new());
    for data_dir in data_dirs {
        for place in ipam::places(data_dir)? {
            if network.is_some_and(|network| network != place.network.as_str()) {
                continue;
            }
            read.push(place.network.to_string());
            let leases = ipam::leases(&place)?;
            found.extend(leases.into_iter().find(|lease| lease.address.ip() == address).map(|lease| (place, lease)));
        }
    }
    if found.len() > 1 {
        let networks: Vec<String> = found.iter().map(|(place, _)| place.network.to_string()).collect();
        return Err(Error::Ambiguous { address, networks: networks.join(", ") });
    }
    let networks =
        if read.is_empty() { "there is no store".to_owned() } else { format!("networks: {}", read.join(", ")) };
    let (place, lease) = found.pop().ok_or(Error::NotLeased { address, networks })?;
    // No ADD of this attachment can make its link from here on.
    let _claim = place.claim(&lease.owner).map_err(Error::Claimed)?;
    judge(&lease, link(&place, &lease), netns(&lease)?)?;
    ipam::give_back(&place, std::slice::from_ref(&lease))?;
    if ipam::leases(&place)?.iter().any(|left| left.is_same(&lease)) {
        return Err(Error::Late { address });
    }
    Ok((place.network, lease))
}

fn link(place: &Place, lease: &Lease) -> Presence {
    let host = Socket::open();
    host.map_or(Presence::Unknown, |mut host| HostLinks::new(&mut host, &place.network).host_link(lease))
}

/// The namespace as this process sees it. The operator stands for it that a directory of namespaces which is there is the
/// node's.
fn netns(lease: &Lease) -> Result<Presence, ipam::Error> {
    struct Operator;
    impl Liveness for Operator {
        fn host_link(&self, _lease: &Lease) -> Presence {
            Presence::Unknown
        }

        fn sees(&self, directory: &std::path::Path) -> bool {
            directory.is_dir()
        }
    }
    let now = Stamp::now()?;
    // A namespace that was never identified, as that of an adopted lease, may be the one that is at its path.
    if lease.proof.netns_id.is_none() && ipam::netns_identity(&lease.proof.netns).is_some() {
        return Ok(Presence::Present);
    }
    Ok(Operator.netns(&lease.proof, lease.since.boot == now.boot))
}
