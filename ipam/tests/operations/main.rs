//! Operations on a store in memory, with a clock and pods of the test's choice.

#![expect(clippy::unwrap_used, reason = "what a test's own tools meet is a failure of the test")]

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

use ipam::on::Request;
use ipam::{
    Audit, BootId, Collector, Error, Lease, Liveness, Presence, Proof, Range, RangeSet, Require, Scavenged, Stamp,
    StoreError, Want, on,
};
use migration::{Found, Imported, Wanted, import_in};
use store::testing::Memory;

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

fn preferring(sets: &[&[&str]]) -> Want {
    asking_as(sets, &[], Require::Prefer).unwrap()
}

fn asking(sets: &[&[&str]], requested: &[IpAddr]) -> Result<Want, Error> {
    asking_as(sets, requested, Require::Both)
}

fn asking_as(sets: &[&[&str]], requested: &[IpAddr], require: Require) -> Result<Want, Error> {
    let sets: Vec<_> = sets.iter().map(|subnets| set(subnets)).collect();
    Want::new(&sets, requested, COOLDOWN, require)
}

/// What is alive, by host link (which is the container id here). What is not listed is there.
#[derive(Debug, Clone, Default)]
struct Fate {
    links: RefCell<BTreeMap<String, Presence>>,
    spaces: RefCell<BTreeMap<String, Presence>>,
}

/// A node: its store, its clock, its pods.
#[derive(Debug)]
struct Node {
    memory: Memory,
    now: Stamp,
    fate: Fate,
}

impl Liveness for Fate {
    fn netns(&self, proof: &Proof, _same_boot: bool) -> Presence {
        let name = proof.netns.display().to_string();
        self.spaces.borrow().get(&name).copied().unwrap_or(Presence::Present)
    }

    fn host_link(&self, lease: &Lease) -> Presence {
        let name = lease.proof.host_link.as_deref().unwrap_or_default();
        self.links.borrow().get(name).copied().unwrap_or(Presence::Present)
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
        Self { memory, now: Stamp { boot: BootId(1), millis: 1000 }, fate: Fate::default() }
    }

    /// The same node as it is now, to be damaged apart.
    fn copy(&self) -> Self {
        Self { memory: self.memory.copy(), now: self.now, fate: self.fate.clone() }
    }

    fn pass(&mut self, time: Duration) {
        self.now.millis += u64::try_from(time.as_millis()).unwrap();
    }

    fn reboot(&mut self) {
        self.now = Stamp { boot: BootId(self.now.boot.0 + 1), millis: 500 };
    }

    fn sees(&self, owner: &Attachment, link: Presence, netns: Presence) {
        let name = owner.container_id.to_string();
        self.fate.links.borrow_mut().insert(name.clone(), link);
        self.fate.spaces.borrow_mut().insert(name, netns);
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
        on::release(&self.memory, owner, self.now)
    }

    fn gc(&self, keep: &[Attachment]) -> Result<Vec<Lease>, Error> {
        let mut removed = Removed::default();
        on::retain(&self.memory, &keep.iter().cloned().collect(), self.now, self.now, &mut removed)?;
        Ok(removed.0)
    }

    fn scavenge(&self) -> Result<Scavenged, Error> {
        on::scavenge(&self.memory, &self.fate, self.now, &mut |_| {})
    }

    /// Take over what host-local keeps: names of files and what they hold.
    fn import(&self, want: &Want, files: &[(&str, &str)]) -> Result<Imported, Error> {
        let read = || {
            let mut found = Found::default();
            files.iter().for_each(|(name, text)| found.add(name.into(), |_| Ok(text.as_bytes().to_vec())));
            Ok(found)
        };
        let vouch = |_: &Attachment| Some(Proof::default());
        import_in(&self.memory, "test", &Wanted { want, vouch: &vouch, read: &read }, &self.fate, self.now)
    }

    fn owned(&self, owner: &Attachment) -> Result<Vec<Lease>, Error> {
        on::leases_of(&self.memory, owner)
    }

    fn try_audit(&self) -> Result<Audit, Error> {
        Ok(store::read(&self.memory, store::audit).map(Option::unwrap_or_default)?)
    }

    fn audit(&self) -> Audit {
        let mut audit = self.try_audit().unwrap();
        audit.leases.sort_by_key(|lease| lease.address.ip());
        audit
    }
}
