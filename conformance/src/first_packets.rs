//! The state of a pod at the moment its ADD has ended: is the link up, and does the very first packet of each direction
//! arrive? How the link was made, and how fast, is the caller's concern.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;

use crate::ways::{Partner, sockets_in, ways};

/// The result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The link on the node is operationally up.
    pub up: bool,
    /// The directions whose first packet was lost: `IPv6 node to pod`.
    pub lost: Vec<String>,
    /// The directions that were tried.
    pub tried: usize,
}

/// Examines a pod whose ADD has just ended. To be called in the node's namespaces, on a thread of its own; `netns` is
/// the pod's, `link` its link on the node. `first` chooses the sender of the very first packet on the link.
///
/// # Errors
/// The system's; a packet that the kernel refuses to send is a lost one.
pub fn look(link: &str, netns: &File, addresses: &[IpAddr], partners: &[Partner], first: usize) -> io::Result<Found> {
    // The file, not RTM_GETLINK: that request would make the kernel do its pending work first.
    let state = fs::read_to_string(format!("/sys/class/net/{link}/operstate"))?;
    let own = sockets_in(netns, addresses)?;
    let mut ways = ways(&own, partners)?;
    let count = ways.len().max(1);
    ways.rotate_left(first % count);
    let mut found = Found { up: state.trim_end() == "up", lost: Vec::new(), tried: ways.len() };
    for way in ways {
        if !way.passes()? {
            found.lost.push(way.to_string());
        }
    }
    Ok(found)
}
