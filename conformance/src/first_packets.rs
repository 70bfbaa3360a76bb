//! What a runtime finds that uses a pod as soon as its ADD has ended: is the link up, and does the very first packet of each
//! direction arrive. Owns the question; who made the link, and how fast, the caller knows.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;

use crate::ways::{Partner, sockets_in, ways};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The link on the node is operationally up.
    pub up: bool,
    /// The directions whose first packet was lost: `IPv6 node to pod`.
    pub lost: Vec<String>,
    /// The directions that were tried.
    pub tried: usize,
}

/// Looks at a pod whose ADD has just ended. To be called in the node's namespaces, on a thread of its own; `netns` is the
/// pod's, `link` its link on the node. `first` chooses whose packet is the very first that the link sees.
///
/// # Errors
/// The system's; a packet that the kernel refuses to send is a lost one.
pub fn look(link: &str, netns: &File, addresses: &[IpAddr], partners: &[Partner], first: usize) -> io::Result<Found> {
    // The file, not RTM_GETLINK: that would have the kernel do first what is overdue.
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
