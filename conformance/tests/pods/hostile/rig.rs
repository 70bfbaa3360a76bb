//! One node with three pods, two families each: the thief, the victim and the target.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Added, Error, Node, Pod, Running, eventually, until};
use smoltcp::wire::EthernetAddress;

use super::frames::{self, Ends};

pub(super) const SOON: Duration = Duration::from_secs(10);

/// The port of the pods' servers.
pub(super) const PORT: u16 = 9009;

/// A pod that was added, and the parameters of its link.
pub(super) struct Attached<'node> {
    pub(super) pod: Pod<'node>,
    pub(super) added: Added,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    /// The link as the pod sees it.
    pub(super) ends: Ends,
    /// The host end's name.
    pub(super) link: String,
}

impl<'node> Attached<'node> {
    pub(super) fn new(node: &'node Node, name: &str) -> Result<Self, Error> {
        Self::of(node.pod(name)?)
    }

    pub(super) fn of(pod: Pod<'node>) -> Result<Self, Error> {
        let added = pod.add(&pod.node().podnet())?;
        let (IpAddr::V4(v4), IpAddr::V6(v6)) = (added.v4()?, added.v6()?) else { panic!("{added:?}") };
        let field =
            |end: usize, what: &str| added.result["interfaces"][end][what].as_str().unwrap_or_default().to_owned();
        let mac = |end: usize| {
            let octets =
                field(end, "mac").split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect::<Vec<_>>();
            EthernetAddress::from_bytes(&octets)
        };
        let (ends, link) = (Ends { own: mac(1), far: mac(0) }, field(0, "name"));
        Ok(Self { pod, added, v4, v6, ends, link })
    }

    pub(super) fn ip(&self, v6: bool) -> IpAddr {
        if v6 { self.v6.into() } else { self.v4.into() }
    }

    /// Writes frames to its link.
    pub(super) fn sends(&self, frames: &[Vec<u8>]) -> Result<(), Error> {
        frames::send(self.pod.place(), "eth0", frames)
    }

    /// The link-local address that the kernel gave the pod (RFC 4291, appendix A).
    pub(super) fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.ends.own.0.map(u16::from);
        Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
    }
}

/// The node and its three pods.
pub(super) struct Rig<'lab> {
    pub(super) node: &'lab Node,
    pub(super) thief: Attached<'lab>,
    pub(super) victim: Attached<'lab>,
    pub(super) target: Attached<'lab>,
}

impl<'lab> Rig<'lab> {
    pub(super) fn new(node: &'lab Node) -> Result<Self, Error> {
        let pod = |name| Attached::new(node, name);
        Ok(Self { node, thief: pod("thief")?, victim: pod("victim")?, target: pod("target")? })
    }

    /// Writes a sysctl of the node; several fit in one line.
    pub(super) fn set(&self, path: &str, value: &str) -> Result<(), Error> {
        set(self.node, path, value)
    }

    /// Starts the agent, and waits until its source rule is in place.
    pub(super) fn agent(&self) -> Result<Running, Error> {
        let agent = self.node.agent(&[])?;
        eventually(SOON, "the source rule is in place", || {
            let rules = self.node.command("nft").args(["list", "table", "inet", "podlan"]).run();
            let rules = rules.map_err(|error| error.to_string())?;
            if rules.stdout.contains("drop") { Ok(()) } else { Err(rules.stderr) }
        })?;
        Ok(agent)
    }

    /// All pods reach the node, and each other.
    pub(super) fn all_is_well(&self) -> Result<(), Error> {
        let all = [&self.thief, &self.victim, &self.target];
        let _servers = all.iter().map(|one| one.pod.serve()).collect::<Result<Vec<_>, _>>()?;
        let _server = self.node.serve()?;
        for one in all {
            let others = all.iter().filter(|other| other.v4 != one.v4).flat_map(|other| other.added.ips());
            one.pod.reaches(&one.added, &others.chain(self.node.ips()).collect::<Vec<_>>())?;
        }
        self.node.reaches(&all.iter().flat_map(|one| one.added.ips()).collect::<Vec<_>>())
    }

    /// The node's neighbour entries of one of its links, a line each.
    pub(super) fn neighbours(&self, link: &str) -> Result<Vec<String>, Error> {
        let said = self.node.command("ip").args(["neigh", "show", "dev", link]).succeeds()?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}

/// Writes a sysctl of a node.
pub(super) fn set(node: &Node, path: &str, value: &str) -> Result<(), Error> {
    let written = node.place().enter(|| fs::write(path, value))?;
    written.map_err(|source| Error::System { doing: format!("write {path}"), source })
}

/// A socket that receives texts at an address, until "end".
pub(super) struct Receiver(UdpSocket);

impl Receiver {
    pub(super) fn at(place: &podlan_conformance::lab::Place, address: IpAddr) -> Result<Self, Error> {
        let failed = |source| Error::System { doing: format!("listen at {address}"), source };
        let socket = place.enter(|| UdpSocket::bind(SocketAddr::new(address, PORT)))?.map_err(failed)?;
        socket.set_read_timeout(Some(Duration::from_millis(50))).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Every text until "end", and those that arrive within a moment: frames may be reordered.
    pub(super) fn receives(&self) -> Result<Vec<String>, Error> {
        let (mut received, mut ended, until) = (Vec::new(), false, until(SOON));
        let mut buffer = [0; 64];
        loop {
            match self.0.recv_from(&mut buffer) {
                Ok((length, _)) => {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    if text == "end" { ended = true } else { received.push(text) }
                }
                Err(_) if ended => {
                    received.sort();
                    return Ok(received);
                }
                Err(source) if Instant::now() > until => {
                    return Err(Error::System { doing: format!("receive the end after {received:?}"), source });
                }
                Err(_) => {}
            }
        }
    }
}
