//! Operations against a directory in memory and a world that is made up.

mod bytes;
mod crash;
mod forged;
mod golden;
mod import;
mod laws;
mod model;
mod status;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cni::{Attachment, ContainerId, Ifname};

use super::give::Request;
use super::import::{Found, Imported, Wanted, import_on};
use super::remove::{Collector, Scavenged, release_on, retain_on, scavenge_on};
use super::want::{Require, Want};
use super::{Judge, look};
use crate::error::Error;
use crate::lease::{Lease, Presence, Proof};
use crate::now::{BootId, Stamp};
use crate::range::{Range, RangeSet};
use crate::store::audit::{Audit, audit};
use crate::store::double::Memory;
use crate::store::read::read;

const COOLDOWN: Duration = Duration::from_secs(120);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn owner(number: usize) -> Attachment {
    let container_id = ContainerId::parse(&format!("c{number}")).unwrap();
    Attachment { container_id, ifname: Ifname::parse("eth0").unwrap() }
}

fn set(subnets: &[&str]) -> RangeSet {
    let range = |subnet: &&str| Range::new(subnet.parse().unwrap(), None, None, None).unwrap();
    RangeSet::new(subnets.iter().map(range).collect()).unwrap()
}

fn want(sets: &[&[&str]]) -> Want {
    asking(sets, &[]).unwrap()
}

fn asking(sets: &[&[&str]], requested: &[IpAddr]) -> Result<Want, Error> {
    let sets: Vec<_> = sets.iter().map(|subnets| set(subnets)).collect();
    Want::new(&sets, requested, COOLDOWN, Require::Both)
}

/// What is alive, by host link (which is the container id here). What is not listed is there.
#[derive(Debug, Default)]
struct Fate {
    links: BTreeMap<String, Presence>,
    spaces: BTreeMap<String, Presence>,
}

/// A node: its store, its clock, its pods.
#[derive(Debug)]
struct Node {
    memory: Memory,
    now: Stamp,
    fate: RefCell<Fate>,
}

impl Judge for RefCell<Fate> {
    fn netns(&self, proof: &Proof, _same_boot: bool) -> Presence {
        let name = proof.netns.display().to_string();
        self.borrow().spaces.get(&name).copied().unwrap_or(Presence::Present)
    }

    fn host_link(&self, lease: &Lease) -> Presence {
        let name = lease.proof.host_link.as_deref().unwrap_or_default();
        self.borrow().links.get(name).copied().unwrap_or(Presence::Present)
    }
}

/// The leases that GC took back.
#[derive(Default)]
struct Removed(Vec<Lease>);

impl Collector for Removed {
    fn detach(&mut self, _lease: &Lease) -> bool {
        true
    }

    fn taken_back(&mut self, lease: &Lease) {
        self.0.push(lease.clone());
    }
}

impl Node {
    fn new() -> Self {
        Self::of(Memory::default())
    }

    fn of(memory: Memory) -> Self {
        Self { memory, now: Stamp { boot: BootId(1), millis: 1000 }, fate: RefCell::default() }
    }

    /// The same node as it is now, to be damaged apart.
    fn copy(&self) -> Self {
        let fate = self.fate.borrow();
        let fate = Fate { links: fate.links.clone(), spaces: fate.spaces.clone() };
        Self { memory: self.memory.copy(), now: self.now, fate: RefCell::new(fate) }
    }

    fn pass(&mut self, time: Duration) {
        self.now.millis += u64::try_from(time.as_millis()).unwrap();
    }

    fn reboot(&mut self) {
        self.now = Stamp { boot: BootId(self.now.boot.0 + 1), millis: 500 };
    }

    fn sees(&self, owner: &Attachment, link: Presence, netns: Presence) {
        let name = owner.container_id.to_string();
        let mut fate = self.fate.borrow_mut();
        fate.links.insert(name.clone(), link);
        fate.spaces.insert(name, netns);
    }

    fn add(&self, want: &Want, owner: &Attachment) -> Result<Vec<Lease>, Error> {
        let name = owner.container_id.to_string();
        let proof = Proof { host_link: Some(name.clone()), netns: name.into(), ..Proof::default() };
        let request = Request { want, owner, proof: &proof, network: "test", now: self.now };
        request.give(&self.memory, &self.fate)
    }

    /// ADD of a pod whose link and namespace are there from now on.
    fn address(&self, want: &Want, number: usize) -> String {
        let leases = self.add(want, &owner(number)).unwrap();
        leases.iter().map(|lease| lease.address.ip().to_string()).collect::<Vec<_>>().join(" ")
    }

    fn del(&self, owner: &Attachment) -> Result<Vec<Lease>, Error> {
        release_on(&self.memory, owner, self.now)
    }

    fn gc(&self, keep: &[Attachment]) -> Result<Vec<Lease>, Error> {
        let mut removed = Removed::default();
        retain_on(&self.memory, &keep.iter().cloned().collect(), self.now, self.now, &mut removed)?;
        Ok(removed.0)
    }

    fn scavenge(&self) -> Result<Scavenged, Error> {
        scavenge_on(&self.memory, &self.fate, self.now, &mut |_| {})
    }

    /// Take over what host-local keeps: names of files and what they hold.
    fn import(&self, want: &Want, files: &[(&str, &str)]) -> Result<Imported, Error> {
        let read = || {
            let mut found = Found::default();
            files.iter().for_each(|(name, text)| found.add(name.into(), |_| Ok(text.as_bytes().to_vec())));
            Ok(found)
        };
        let vouch = |_: &Attachment| Some(Proof::default());
        import_on(&self.memory, "test", &Wanted { want, vouch: &vouch, read: &read }, &self.fate, self.now)
    }

    fn owned(&self, owner: &Attachment) -> Result<Vec<Lease>, Error> {
        look::owned(&self.memory, owner)
    }

    fn try_audit(&self) -> Result<Audit, Error> {
        read(&self.memory, |snapshot| audit(snapshot)).map(Option::unwrap_or_default)
    }

    fn audit(&self) -> Audit {
        let mut audit = self.try_audit().unwrap();
        audit.leases.sort_by_key(|lease| lease.address.ip());
        audit
    }
}
