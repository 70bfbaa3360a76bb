//! The API server with its store of Nodes: lists, watches, an older or an empty answer, 410, and a restart with another history.
//!
//! A watch is what kube's `watcher` yields of it: a list, then the changes in the order of their versions. A watch that the
//! server closes in good order is taken up again by `watcher` where it stood; bookmarks are used up there. What the agent sees
//! of the rest is an error, and a new list.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use ipnetwork::IpNetwork;
use serde_json::json;

/// A Node as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Which object of this name it is.
    pub uid: u64,
    /// InternalIPs.
    pub addresses: Vec<String>,
    /// Pod CIDRs.
    pub cidrs: Vec<String>,
    /// Its JSON text, which also has what podlan does not read.
    pub text: Rc<str>,
}

/// A change of the store.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is there, as it is here.
    Apply(Rc<Object>),
    /// It went.
    Delete(Rc<Object>),
}

/// The server.
#[derive(Debug, Default)]
pub struct Api {
    /// By name.
    pub objects: BTreeMap<String, Rc<Object>>,
    log: Vec<Change>,
    /// The version of the first change of `log`.
    first: u64,
    /// Watches from before this version are answered 410.
    pub compacted: u64,
    /// Nobody is answered.
    pub is_down: bool,
    /// Lists are empty.
    pub says_empty: bool,
    /// Lists have only so many of each ten nodes.
    pub says_part: Option<u64>,
    /// Lists are so many changes old.
    pub lag: u64,
    /// Lists can be streamed.
    pub streams: bool,
    /// Which store it is: each restart with another history has another.
    pub history: u64,
    /// Each CIDR and address that a node of this name ever had.
    pub had: BTreeMap<String, (BTreeSet<IpNetwork>, BTreeSet<IpAddr>)>,
    /// The names that ever had the CIDR.
    pub owners: BTreeMap<IpNetwork, BTreeSet<String>>,
    /// Bytes of all that was sent.
    pub sent: u64,
    next_uid: u64,
}

impl Object {
    /// Its valid addresses.
    pub fn valid_addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Its valid CIDRs.
    pub fn valid_cidrs(&self) -> Vec<IpNetwork> {
        let parse = |text: &String| text.parse::<IpNetwork>().ok().filter(|cidr| cidr.network() == cidr.ip());
        self.cidrs.iter().filter_map(parse).fold(Vec::new(), |mut all, cidr| {
            if !all.contains(&cidr) {
                all.push(cidr);
            }
            all
        })
    }
}

impl Api {
    /// An empty store.
    pub fn new() -> Self {
        Self { streams: true, ..Self::default() }
    }

    /// The version of the store.
    pub fn version(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// A new uid.
    pub fn uid(&mut self) -> u64 {
        self.next_uid += 1;
        self.next_uid
    }

    /// Stores an object.
    pub fn put(&mut self, name: &str, uid: u64, addresses: Vec<String>, cidrs: Vec<String>) {
        let status: Vec<_> =
            addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
        let mut spec = serde_json::Map::new();
        if let Some(first) = cidrs.first() {
            spec.insert("podCIDR".to_owned(), json!(first));
            spec.insert("podCIDRs".to_owned(), json!(cidrs));
        }
        let version = self.version() + 1;
        let text = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "uid": format!("uid-{uid}"), "resourceVersion": version.to_string(), "labels": {"kubernetes.io/hostname": name}},
            "spec": spec,
            "status": {"addresses": status, "conditions": [{"type": "Ready", "status": "True"}]},
        })
        .to_string();
        let object = Rc::new(Object { name: name.to_owned(), uid, addresses, cidrs, text: text.into() });
        let (had_cidrs, had_addresses) = self.had.entry(name.to_owned()).or_default();
        had_cidrs.extend(object.valid_cidrs());
        had_addresses.extend(object.valid_addresses());
        for cidr in object.valid_cidrs() {
            self.owners.entry(cidr).or_default().insert(name.to_owned());
        }
        self.objects.insert(name.to_owned(), object.clone());
        self.push(Change::Apply(object));
    }

    /// Removes an object.
    pub fn remove(&mut self, name: &str) {
        if let Some(object) = self.objects.remove(name) {
            self.push(Change::Delete(object));
        }
    }

    /// A heartbeat: the object is stored again as it was.
    pub fn touch(&mut self, name: &str) {
        if let Some(object) = self.objects.get(name).cloned() {
            self.put(name, object.uid, object.addresses.clone(), object.cidrs.clone());
        }
    }

    fn push(&mut self, change: Change) {
        self.log.push(change);
        // What every watch has read by now is forgotten.
        if self.log.len() > 8192 {
            self.log.drain(..4096);
            self.first += 4096;
            self.compacted = self.compacted.max(self.first);
        }
    }

    /// The server comes up with an older copy of its store, and counts versions from there.
    pub fn restore(&mut self, changes_ago: usize) {
        let objects = self.at(changes_ago as u64);
        let lost: Vec<String> = self.objects.keys().filter(|name| !objects.contains_key(*name)).cloned().collect();
        lost.iter().for_each(|name| self.remove(name));
        for object in objects.into_values() {
            if self.objects.get(&object.name) != Some(&object) {
                self.put(&object.name, object.uid, object.addresses.clone(), object.cidrs.clone());
            }
        }
        self.history += 1;
        self.compacted = self.version();
    }

    /// What the store held so many changes ago.
    fn at(&self, changes_ago: u64) -> BTreeMap<String, Rc<Object>> {
        let keep = self.log.len().saturating_sub(usize::try_from(changes_ago).unwrap_or(usize::MAX));
        let mut objects = self.objects.clone();
        for (index, change) in self.log.iter().enumerate().skip(keep).rev() {
            let name = match change {
                Change::Apply(object) | Change::Delete(object) => &object.name,
            };
            let before = self.log[..index].iter().rev().find_map(|change| match change {
                Change::Apply(object) if object.name == *name => Some(Some(object.clone())),
                Change::Delete(object) if object.name == *name => Some(None),
                _ => None,
            });
            match before {
                Some(Some(object)) => objects.insert(name.clone(), object),
                None if self.first > 0 => continue,
                Some(None) | None => objects.remove(name),
            };
        }
        objects
    }

    /// A list as it is answered now, and from which version on changes follow it.
    pub fn list(&mut self) -> (Vec<Rc<Object>>, u64) {
        let lag = self.lag.min(self.log.len() as u64).min(self.version().saturating_sub(self.compacted));
        let version = self.version() - lag;
        let mut objects: Vec<Rc<Object>> =
            if lag == 0 { self.objects.values().cloned().collect() } else { self.at(lag).into_values().collect() };
        if let Some(part) = self.says_part {
            let mut place = 0;
            objects.retain(|_| {
                place += 1;
                place % 10 < part
            });
        }
        if self.says_empty {
            objects.clear();
        }
        self.sent += objects.iter().map(|object| object.text.len() as u64).sum::<u64>();
        (objects, version)
    }

    /// The change after a version, where there is one.
    pub fn after(&mut self, version: u64) -> Option<Change> {
        let index = usize::try_from(version.checked_sub(self.first)?).ok()?;
        let change = self.log.get(index).cloned()?;
        self.sent += match &change {
            Change::Apply(object) | Change::Delete(object) => object.text.len() as u64 + 30,
        };
        Some(change)
    }
}
