//! A pod sends with its own addresses only: the agent's nft rule, where the kernel's reverse path filter lets others
//! pass.
//!
//! ```text
//!   node1 (agent, conf.all.rp_filter=2)
//!     ├── thief, which takes the address of victim
//!     ├── victim
//!     └── target, which must not receive forged packets
//! ```

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ipnetwork::IpNetwork;
use netlink::{Address, Link, Socket};
use podlan_conformance::agent::{METRICS, metric};
use podlan_conformance::lab::{Error, Lab, Node, Pod, eventually, within};

const PORT: u16 = 7777;

fn io<T>(doing: &str, outcome: std::io::Result<T>) -> Result<T, Error> {
    outcome.map_err(|source| Error::System { doing: doing.to_owned(), source })
}

/// Adds an address to a pod, as root in it can.
fn take(pod: &Pod<'_>, address: IpAddr) -> Result<(), Error> {
    let taken = pod.place().enter(|| -> Result<(), String> {
        let mut socket = Socket::open().map_err(|error| error.to_string())?;
        let device = Link::index(&socket, "eth0").ok().flatten().ok_or("no eth0")?;
        let address = Address { address: IpNetwork::from(address), device, link_scope: false };
        let verdicts = socket.request(&mut [address.add()]).map_err(|error| error.to_string())?;
        verdicts.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    })?;
    taken.map_err(|said| Error::Unreadable { from: "the kernel".into(), said })
}

/// Whether `target` receives a datagram that `sender` sends with the address `from`.
fn receives(target: &Pod<'_>, at: IpAddr, sender: &Pod<'_>, from: IpAddr) -> Result<bool, Error> {
    let receiver = target.place().enter(|| UdpSocket::bind(SocketAddr::new(at, PORT)))?;
    let receiver = io("listen", receiver)?;
    io("set a deadline", receiver.set_read_timeout(Some(Duration::from_millis(300))))?;
    let sent = sender.place().enter(|| {
        let mouth = UdpSocket::bind(SocketAddr::new(from, 0))?;
        mouth.send_to(b"it is me", SocketAddr::new(at, PORT))
    })?;
    io("send", sent)?;
    match receiver.recv_from(&mut [0; 16]) {
        Ok((_, seen)) => {
            assert_eq!(seen.ip(), from);
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(error) => io("receive", Err(error)),
    }
}

/// Switches the kernel's own protection off, as on Ubuntu: loose for all links.
fn loosen(node: &Node) -> Result<(), Error> {
    io("loosen rp_filter", node.place().enter(|| fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "2"))?)
}

#[test]
fn a_pod_cannot_send_with_the_address_of_another_and_a_flushed_rule_is_restored() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        loosen(one)?;
        let pods = [one.pod("thief")?, one.pod("victim")?, one.pod("target")?];
        let [thief, victim, target] = &pods;
        let added: Vec<_> = pods.iter().map(|pod| pod.add(&one.podnet())).collect::<Result<_, _>>()?;
        let at = |pod: usize| -> Result<[IpAddr; 2], Error> { Ok([added[pod].v4()?, added[pod].v6()?]) };
        for stolen in at(1)? {
            take(thief, stolen)?;
        }
        for family in [0, 1] {
            assert!(
                receives(target, at(2)?[family], thief, at(1)?[family])?,
                "without the agent forged packets arrive"
            );
        }
        let _agent = one.agent(&[])?;
        let stopped = |fact: &str| {
            for family in [0, 1] {
                let (to, stolen, own) = (at(2)?[family], at(1)?[family], at(0)?[family]);
                eventually(Duration::from_secs(10), fact, || {
                    match receives(target, to, thief, stolen).map_err(|error| error.to_string())? {
                        false => Ok(()),
                        true => Err("the target received a forged packet".to_owned()),
                    }
                })?;
                assert!(receives(target, to, thief, own)?, "with its own address its packets arrive");
                assert!(receives(target, to, victim, stolen)?, "and those of the owner");
            }
            Ok(())
        };
        stopped("forged packets are dropped")?;
        let nft =
            ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
        match nft {
            Some(nft) => {
                let flushed = one.place().enter(|| Command::new(nft).args(["flush", "ruleset"]).status())?;
                assert!(io("run nft", flushed)?.success());
                stopped("the rule is back after a flush")
            }
            None => Ok(()),
        }
    });
}

/// How many datagrams are sent with forged and with own addresses.
const FORGED: u64 = 21;
const HONEST: u64 = 10;

/// The number of packets with forged sources that the source rule has dropped, from the agent's metrics.
fn forged(node: &Node) -> Result<u64, String> {
    metric(node, "podlan_node_source_rule_drops_total{rule=\"forged\"}")
}

#[test]
fn forged_datagrams_increase_the_counter_and_honest_ones_do_not() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        loosen(one)?;
        let pods = [one.pod("thief")?, one.pod("victim")?, one.pod("target")?];
        let [thief, victim, target] = &pods;
        let added: Vec<_> = pods.iter().map(|pod| pod.add(&one.podnet())).collect::<Result<_, _>>()?;
        let at = |pod: usize| -> Result<[IpAddr; 2], Error> { Ok([added[pod].v4()?, added[pod].v6()?]) };
        // The rules are compared at this interval, and correct ones are left alone: their counters stay.
        let _agent = one.agent(&["--listen", &METRICS.to_string(), "--resync", "200ms"])?;
        let soon = Duration::from_secs(15);
        eventually(soon, "the counter is served", || forged(one).map(drop))?;
        let mut before = forged(one).map_err(|said| Error::Unreadable { from: "the metrics".into(), said })?;
        for stolen in at(1)? {
            take(thief, stolen)?;
        }
        for family in [0, 1] {
            let (to, own, stolen) = (at(2)?[family], at(0)?[family], at(1)?[family]);
            for _ in 0..HONEST / 2 {
                assert!(
                    receives(target, to, thief, own)? && receives(target, to, victim, stolen)?,
                    "honest packets arrive"
                );
            }
            assert!(!receives(target, to, thief, stolen)?);
            for _ in 1..FORGED {
                let said = thief.place().enter(|| UdpSocket::bind((stolen, 0))?.send_to(b"me", (to, PORT)))?;
                io("send", said)?;
            }
            let counted = eventually(soon, "the forged datagrams are counted", || match forged(one)? {
                counted if counted >= before + FORGED => Ok(counted),
                counted => Err(format!("{counted} after {before}")),
            })?;
            // A new link sends a packet or two by itself, from an unspecified address.
            assert!(counted < before + FORGED + HONEST, "the honest are counted: {before}, {counted}");
            before = counted;
        }
        Ok(())
    })
}
