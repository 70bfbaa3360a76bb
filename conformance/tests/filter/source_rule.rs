//! A pod sends with its own addresses only: the agent's nft rule, where the kernel's reverse path filter looks away.
//!
//! ```text
//!   node1 (agent, conf.all.rp_filter=2)
//!     ├── thief, which takes the address of victim
//!     ├── victim
//!     └── target, which must not hear the thief
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

/// Gives a pod one more address, as its root can.
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

/// Whether `target` hears a datagram that `sender` sends with the address `from`.
fn hears(target: &Pod<'_>, at: IpAddr, sender: &Pod<'_>, from: IpAddr) -> Result<bool, Error> {
    let ear = target.place().enter(|| UdpSocket::bind(SocketAddr::new(at, PORT)))?;
    let ear = io("listen", ear)?;
    io("set a deadline", ear.set_read_timeout(Some(Duration::from_millis(300))))?;
    let sent = sender.place().enter(|| {
        let mouth = UdpSocket::bind(SocketAddr::new(from, 0))?;
        mouth.send_to(b"it is me", SocketAddr::new(at, PORT))
    })?;
    io("send", sent)?;
    match ear.recv_from(&mut [0; 16]) {
        Ok((_, seen)) => {
            assert_eq!(seen.ip(), from);
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(error) => io("receive", Err(error)),
    }
}

/// The kernel's own second line off, as on Ubuntu: loose for all links.
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
            assert!(hears(target, at(2)?[family], thief, at(1)?[family])?, "without the agent nothing stops a thief");
        }
        let _agent = one.agent(&[])?;
        let stopped = |fact: &str| {
            for family in [0, 1] {
                let (to, stolen, own) = (at(2)?[family], at(1)?[family], at(0)?[family]);
                eventually(Duration::from_secs(10), fact, || {
                    match hears(target, to, thief, stolen).map_err(|error| error.to_string())? {
                        false => Ok(()),
                        true => Err("the target heard the thief".to_owned()),
                    }
                })?;
                assert!(hears(target, to, thief, own)?, "with its own address it is heard");
                assert!(hears(target, to, victim, stolen)?, "and so is the owner");
            }
            Ok(())
        };
        stopped("the thief is stopped")?;
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

/// How many datagrams are sent with another's address, and with their own.
const FORGED: u64 = 21;
const HONEST: u64 = 10;

/// What the agent says that the source rule has dropped for forged sources.
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
        // So often are the rules compared, and those that are right left as they are: what they counted stays.
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
                assert!(hears(target, to, thief, own)? && hears(target, to, victim, stolen)?, "the honest are heard");
            }
            assert!(!hears(target, to, thief, stolen)?);
            for _ in 1..FORGED {
                let said = thief.place().enter(|| UdpSocket::bind((stolen, 0))?.send_to(b"me", (to, PORT)))?;
                io("send", said)?;
            }
            let counted = eventually(soon, "the forged datagrams are counted", || match forged(one)? {
                counted if counted >= before + FORGED => Ok(counted),
                counted => Err(format!("{counted} after {before}")),
            })?;
            // A link that is new says something by itself, once or twice, from an address that is none yet.
            assert!(counted < before + FORGED + HONEST, "the honest are counted: {before}, {counted}");
            before = counted;
        }
        Ok(())
    })
}
