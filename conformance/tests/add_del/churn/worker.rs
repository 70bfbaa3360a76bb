//! One of several runtimes: it makes pods, calls the plugin for them in every order that the specification allows, and
//! deletes some of them without a DEL.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::net::IpAddr;
use std::ops::AddAssign;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Added, Error, Pod, binaries, eventually};
use serde_json::{Value, json};

use super::Rig;
use super::model::Attachment;

/// The number of pods that a worker has at a time.
const PODS: usize = 3;

/// The most interfaces of a pod.
const IFNAMES: [&str; 3] = ["eth0", "eth1", "net1"];

/// The number of calls of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    adds: usize,
    adds_again: usize,
    dels: usize,
    dels_again: usize,
    dels_of_unknown: usize,
    checks: usize,
    collections: usize,
    killed: usize,
    with_ports: usize,
}

/// Host ports of a worker: each of its attachments asks for the next one or for none.
const PORTS: usize = 1_000;

/// A living pod and its attachments, by ifname: the network's index, and the result of ADD.
struct Living<'lab> {
    pod: Pod<'lab>,
    attachments: BTreeMap<&'static str, (usize, Added)>,
}

pub(super) struct Worker<'rig> {
    rig: &'rig Rig<'rig>,
    number: usize,
    random: u64,
    made: usize,
    ports: usize,
    pods: Vec<Living<'rig>>,
    tally: Tally,
}

impl<'rig> Worker<'rig> {
    pub(super) fn new(rig: &'rig Rig<'_>, number: usize, seed: u64) -> Self {
        let random = seed << 8 | number as u64;
        Self { rig, number, random, made: 0, ports: 0, pods: Vec::new(), tally: Tally::default() }
    }

    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % bound as u64).unwrap_or(0)
    }

    pub(super) fn work(mut self) -> Result<Tally, Error> {
        while self.rig.wants_more() {
            self.step()?;
        }
        let rig = self.rig;
        while !self.pods.is_empty() {
            // Another worker may still audit what lives.
            let _beside = rig.alone.read().unwrap_or_else(PoisonError::into_inner);
            self.end_pod(0)?;
        }
        Ok(self.tally)
    }

    fn step(&mut self) -> Result<(), Error> {
        let rig = self.rig;
        if self.below(300) == 0 {
            let _alone = rig.alone.write().unwrap_or_else(PoisonError::into_inner);
            let network = &rig.networks[self.below(2)];
            self.tally.collections += 1;
            collect(rig, network)?;
            return audit(rig, &[network]);
        }
        let _beside = rig.alone.read().unwrap_or_else(PoisonError::into_inner);
        if self.pods.is_empty() || self.pods.len() < PODS && self.below(4) == 0 {
            return self.begin_pod();
        }
        let index = self.below(self.pods.len());
        match self.below(100) {
            0..45 => self.add(index),
            45..80 => self.del(index),
            80..86 => self.check(index),
            86..90 => self.del_of_unknown(),
            90..94 => self.add_again(index),
            94..97 => self.lose_pod(index),
            _ => self.end_pod(index),
        }
    }

    fn begin_pod(&mut self) -> Result<(), Error> {
        // A worker of the next round must not use the names of this one's deleted pods: their leases may still exist.
        let name = format!("w{}p{}s{:x}", self.number, self.made, self.random & 0xfff_ffff);
        self.made += 1;
        self.pods.push(Living { pod: self.rig.node.pod(&name)?, attachments: BTreeMap::new() });
        self.add(self.pods.len() - 1)
    }

    /// A pod that was lost without a DEL has its port until it is collected, long before the numbers begin again.
    fn next_port(&mut self) -> usize {
        self.ports += 1;
        20_000 + self.number * PORTS + self.ports % PORTS
    }

    fn counted(&self) {
        self.rig.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&mut self, index: usize) -> Result<(), Error> {
        let network = self.below(2);
        let port = (self.below(3) == 0).then(|| self.next_port());
        let Some(living) = self.pods.get_mut(index) else { return Ok(()) };
        let Some(ifname) = IFNAMES.into_iter().find(|ifname| !living.attachments.contains_key(ifname)) else {
            return self.del(index);
        };
        let mut config = self.rig.networks[network].clone();
        if let Some(port) = port {
            config["runtimeConfig"] = json!({ "portMappings": [
                { "hostPort": port, "containerPort": 80, "protocol": "tcp" },
                { "hostPort": port, "containerPort": 80, "protocol": "udp" },
            ]});
        }
        let config = &config;
        let added = living.pod.add_as(ifname, config)?;
        self.rig.model.begin(&attachment(config, &living.pod, ifname), &added.ips());
        living.attachments.insert(ifname, (network, added));
        self.tally.adds += 1;
        self.tally.with_ports += usize::from(port.is_some());
        self.counted();
        Ok(())
    }

    /// A repeated ADD is refused and has no effect.
    fn add_again(&mut self, index: usize) -> Result<(), Error> {
        let Living { pod, attachments } = &self.pods[index];
        let Some((ifname, (network, _))) = attachments.first_key_value() else { return Ok(()) };
        let output = pod.cni("ADD", ifname, &self.rig.networks[*network])?.run()?;
        let refused = output.clone().complaint()?;
        if refused.code != 102 {
            return Err(output.but("it should have been refused with code 102"));
        }
        self.tally.adds_again += 1;
        self.counted();
        Ok(())
    }

    /// A DEL of some attachment: with its namespace or without, once, twice, or twice at the same time.
    fn del(&mut self, index: usize) -> Result<(), Error> {
        let which = self.below(IFNAMES.len());
        let way = self.below(8);
        let Living { pod, attachments } = &mut self.pods[index];
        let Some(ifname) = attachments.keys().copied().cycle().nth(which) else { return Ok(()) };
        let Some((network, added)) = attachments.remove(ifname) else { return Ok(()) };
        let config = &self.rig.networks[network];
        self.rig.model.end(&added.ips());
        let del = || -> Result<(), Error> {
            let del = pod.cni("DEL", ifname, config)?;
            let del = if way == 0 { del.env("CNI_NETNS", "") } else { del };
            self.rig.calls.fetch_add(1, Ordering::Relaxed);
            del.succeeds().map(drop)
        };
        match way {
            1 => del().and_then(|()| del())?,
            2 => thread::scope(|scope| {
                let other = scope.spawn(del);
                del()?;
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })?,
            _ => del()?,
        }
        self.tally.dels += 1;
        self.tally.dels_again += usize::from(way == 1 || way == 2);
        Ok(())
    }

    fn del_of_unknown(&mut self) -> Result<(), Error> {
        let config = &self.rig.networks[self.below(2)];
        let unknown = format!("unknown-{}", self.below(1_000_000));
        let Some(living) = self.pods.first() else { return Ok(()) };
        living.pod.cni("DEL", "eth0", config)?.env("CNI_CONTAINERID", unknown).succeeds()?;
        self.tally.dels_of_unknown += 1;
        self.counted();
        Ok(())
    }

    fn check(&mut self, index: usize) -> Result<(), Error> {
        let Living { pod, attachments } = &self.pods[index];
        for (ifname, (network, added)) in attachments {
            let mut config = self.rig.networks[*network].clone();
            config["prevResult"] = added.result.clone();
            pod.cni("CHECK", ifname, &config)?.succeeds()?;
            self.tally.checks += 1;
        }
        Ok(())
    }

    /// Deletes the namespace with everything in it; the runtime may call DEL afterwards, or never.
    fn lose_pod(&mut self, index: usize) -> Result<(), Error> {
        let Living { pod, attachments } = self.pods.swap_remove(index);
        for (_, added) in attachments.values() {
            self.rig.model.end(&added.ips());
        }
        pod.remove()?;
        self.tally.killed += 1;
        if self.below(2) == 0 {
            return Ok(());
        }
        for (ifname, (network, _)) in attachments {
            pod.del_as(ifname, &self.rig.networks[network])?;
            self.tally.dels += 1;
            self.counted();
        }
        Ok(())
    }

    /// Ends a pod as a runtime does: DEL of each attachment, then the namespace.
    fn end_pod(&mut self, index: usize) -> Result<(), Error> {
        let Living { pod, attachments } = self.pods.swap_remove(index);
        for (ifname, (network, added)) in attachments {
            self.rig.model.end(&added.ips());
            pod.del_as(ifname, &self.rig.networks[network])?;
            self.tally.dels += 1;
            self.counted();
        }
        pod.remove()
    }
}

fn attachment(config: &Value, pod: &Pod<'_>, ifname: &str) -> Attachment {
    let network = config["name"].as_str().unwrap_or_default().to_owned();
    Attachment { network, pod: pod.name().to_owned(), ifname: ifname.to_owned() }
}

/// GC of one network, with all living attachments as valid. No attachment may be added meanwhile.
pub(super) fn collect(rig: &Rig<'_>, network: &Value) -> Result<(), Error> {
    let living = rig.model.living();
    let mine = living.values().filter(|attachment| network["name"] == attachment.network.as_str());
    let valid: Vec<Value> = mine.map(|one| json!({ "containerID": one.pod, "ifname": one.ifname })).collect();
    let mut config = network.clone();
    config["cni.dev/valid-attachments"] = json!(valid);
    let gc = rig.node.command(binaries::find("podlan")?).env("CNI_COMMAND", "GC").env("CNI_PATH", "/nowhere");
    gc.stdin(config.to_string()).succeeds().map(drop)
}

/// Each living attachment has its leases and its routes, and the networks that were just collected have no other
/// leases.
pub(super) fn audit(rig: &Rig<'_>, collected: &[&Value]) -> Result<(), Error> {
    let living = rig.model.living();
    let said = rig.node.command(binaries::find("podlan-node")?).args(["leases", "--json"]).succeeds()?;
    let leases: Vec<Value> = serde_json::from_str(&said).unwrap_or_default();
    let mut leased: BTreeMap<IpAddr, Attachment> = BTreeMap::new();
    for lease in &leases {
        let text = |key: &str| lease[key].as_str().unwrap_or_default().to_owned();
        let owner = Attachment { network: text("network"), pod: text("containerId"), ifname: text("ifname") };
        let address =
            text("address").parse().map_err(|_| Error::Unreadable { from: "leases".into(), said: said.clone() })?;
        let clean = collected.iter().any(|network| network["name"] == owner.network.as_str());
        assert!(!clean || living.get(&address) == Some(&owner), "GC left {address} of {owner:?}");
        assert_eq!(leased.insert(address, owner), None, "{address} is leased twice:\n{said}");
    }
    for (address, owner) in &living {
        assert_eq!(leased.get(address), Some(owner), "{address}");
    }
    let routed = || -> Result<(), String> {
        let network = rig.node.network().map_err(|error| error.to_string())?;
        let routes = network.lines(&["proto", "112"]);
        let has_route = |address: &IpAddr| {
            let to = format!("route unicast {address}/");
            routes.iter().any(|route| route.starts_with(&to))
        };
        let missing: Vec<_> = living.keys().filter(|address| !has_route(address)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("no route to {missing:?} in\n{network}")) }
    };
    eventually(Duration::from_secs(5), "each living attachment has its route", routed)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self { adds, adds_again, dels, dels_again, dels_of_unknown, checks, collections, killed, with_ports } =
            other;
        self.adds += adds;
        self.adds_again += adds_again;
        self.dels += dels;
        self.dels_again += dels_again;
        self.dels_of_unknown += dels_of_unknown;
        self.checks += checks;
        self.collections += collections;
        self.killed += killed;
        self.with_ports += with_ports;
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut sum, tally| {
            sum += tally;
            sum
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { adds, adds_again, dels, dels_again, dels_of_unknown, checks, collections, killed, with_ports } =
            self;
        write!(
            f,
            "{adds} ADDs, {with_ports} with host ports, and {adds_again} that came twice, {dels} DELs and {dels_again} that came twice, "
        )?;
        write!(
            f,
            "{dels_of_unknown} DELs of unknown attachments, {checks} CHECKs, {collections} GCs, {killed} pods killed without DEL"
        )
    }
}
