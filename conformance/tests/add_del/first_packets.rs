//! ADD returns when packets pass. Twenty ADDs run at once, repeatedly, while other links are created and deleted. When
//! an ADD has ended, the pod's link is up and the very first packet of each direction arrives.
//!
//! ```text
//!   node1                                  other namespaces
//!     ├── peer   lives all the while         pairs of links are made and removed
//!     └── pod0 … pod19, added at once
//! ```
//!
//! A thousand ADDs; PODLAN_LONG multiplies them (with PODLAN_LAB_DEADLINE as the deadline in seconds).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

use podlan_conformance::cost::input;
use podlan_conformance::first_packets::{Found, look};
use podlan_conformance::lab::{Added, Churn, Error, Lab, Node, Pod, added, binaries, within};
use podlan_conformance::ways::Partner;
use serde_json::{Value, json};

/// ADDs at once.
const AT_ONCE: usize = 20;

/// Rounds of IPv4 alone, IPv6 alone, and both: 1,020 ADDs.
const ROUNDS: usize = 51;

/// Threads that create and delete links.
const BESIDE: usize = 6;

/// The failures of all ADDs together.
#[derive(Debug, Default)]
struct Tally {
    adds: usize,
    tried: usize,
    not_up: usize,
    lost: BTreeMap<String, usize>,
    pods_with_losses: usize,
}

impl Tally {
    fn count(&mut self, found: Found) {
        self.adds += 1;
        self.tried += found.tried;
        self.not_up += usize::from(!found.up);
        self.pods_with_losses += usize::from(!found.lost.is_empty());
        found.lost.into_iter().for_each(|way| *self.lost.entry(way).or_default() += 1);
    }
}

fn config(node: &Node, families: [bool; 2]) -> Value {
    let mut config = node.podnet();
    let ranges = node.pod_cidrs().into_iter().zip(families).filter(|(_, wanted)| *wanted);
    config["ipam"]["ranges"] = ranges.map(|(cidr, _)| json!([{ "subnet": cidr.to_string() }])).collect();
    config["name"] = json!(format!("net{}{}", u8::from(families[0]), u8::from(families[1])));
    config
}

/// Adds a pod as soon as all threads are ready, and examines it as soon as the plugin has ended.
fn first(pod: &Pod<'_>, config: &Value, partners: &[Partner], number: usize, ready: &Barrier) -> Result<Found, Error> {
    let plugin = binaries::find("podlan")?;
    pod.node().place().enter(|| {
        let netns = io("open the namespace", File::open(pod.netns()))?;
        let mut command = Command::new(&plugin);
        command.env_clear().env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", pod.name()).env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", pod.netns()).env("CNI_PATH", "/opt/cni/bin").stdout(Stdio::piped());
        command.stdin(io("fill a pipe", input(config.to_string().as_bytes()))?);
        ready.wait();
        let mut child = io("start the ADD", command.spawn())?;
        let mut said = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            io("read the result", stdout.read_to_string(&mut said))?;
        }
        let status = io("wait for the ADD", child.wait())?;
        let added = added(&said)?;
        let ips: Vec<IpAddr> = added.ips();
        let link = added.result["interfaces"][0]["name"].as_str().unwrap_or_default();
        assert!(status.success(), "{said}");
        io("send the first packets", look(link, &netns, &ips, partners, number))
    })?
}

fn io<T>(doing: &str, outcome: std::io::Result<T>) -> Result<T, Error> {
    outcome.map_err(|source| Error::System { doing: doing.to_owned(), source })
}

fn round(node: &Node, peer: &Partners<'_>, families: [bool; 2], round: usize, tally: &mut Tally) -> Result<(), Error> {
    let config = config(node, families);
    let pods: Vec<Pod<'_>> =
        (0..AT_ONCE).map(|number| node.pod(&format!("r{round}p{number}"))).collect::<Result<_, _>>()?;
    let partners: Vec<Vec<Partner>> = pods.iter().map(|_| peer.partners()).collect::<Result<_, _>>()?;
    let ready = Barrier::new(AT_ONCE);
    let found = thread::scope(|scope| -> Result<Vec<Found>, Error> {
        let (config, ready) = (&config, &ready);
        let adds = pods.iter().zip(&partners).enumerate();
        let adds: Vec<_> = adds
            .map(|(at, (pod, partners))| scope.spawn(move || first(pod, config, partners, round + at, ready)))
            .collect();
        adds.into_iter().map(|add| add.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })?;
    found.into_iter().for_each(|found| tally.count(found));
    thread::scope(|scope| -> Result<(), Error> {
        let dels: Vec<_> = pods.iter().map(|pod| scope.spawn(|| pod.del(&config))).collect();
        dels.into_iter().try_for_each(|del| del.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    pods.iter().try_for_each(Pod::remove)
}

/// The peers of each new pod.
struct Partners<'lab> {
    node: &'lab Node,
    peer: &'lab Pod<'lab>,
    at_peer: Added,
}

impl Partners<'_> {
    fn partners(&self) -> Result<Vec<Partner>, Error> {
        Ok(vec![
            Partner::new("node", self.node.place(), &self.node.ips())?,
            Partner::new("peer", self.peer.place(), &self.at_peer.ips())?,
        ])
    }
}

#[test]
fn when_an_add_has_ended_the_first_packet_arrives() {
    within(|| {
        let more = std::env::var("PODLAN_LONG").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let peer = node.pod("peer")?;
        let mut beside = node.podnet();
        beside["name"] = json!("beside");
        beside["ipam"]["ranges"] = json!([[{ "subnet": "10.245.0.0/30" }], [{ "subnet": "fd00:10:245::/126" }]]);
        let partners = Partners { node, peer: &peer, at_peer: peer.add(&beside)? };
        let churn = Churn::start(BESIDE);
        let mut tally = Tally::default();
        for number in 0..ROUNDS * more {
            let families = [[true, false], [false, true], [true, true]][number % 3];
            round(node, &partners, families, number, &mut tally)?;
        }
        churn.stop()?;
        println!("{tally:?}");
        assert_eq!(tally.adds, ROUNDS * more * AT_ONCE);
        assert!(tally.not_up == 0 && tally.lost.is_empty(), "{tally:?}");
        Ok(())
    });
}
