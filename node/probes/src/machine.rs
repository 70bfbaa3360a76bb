//! What is sent to whom and when, and what the answers mean, as a state machine: an event and the time go in, actions come out.
//! It has no socket, clock or thread. Of randomness it has the key of its nonces, which it is given.
//!
//! A round sends one full-size request to each peer and family. Only where that is lost, a small one follows, and one to the
//! peer's node address, which also asks whether the lost one was received: so the direction is known. A verdict that
//! something is lost takes two such passes. The shell delivers everything that was received before it delivers the time.

mod follow;
mod obstruction;
mod path;
mod report;
mod schedule;
mod self_test;
mod serve;
mod verdict;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netlink::Family;

use crate::wire::{Datagram, HEAD, Message, Opinion, Standing};
use obstruction::Obstruction;
use path::{Path, Stage, Step};
use schedule::Schedule;
use self_test::SelfTest;
use serve::Served;

pub use report::Counts;
pub use verdict::{Answer, Evidence, Refusal, Verdict, Why, judge};

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Headers in front of a probe: UDP, and IPv4 or IPv6.
const HEADERS: [u32; 2] = [28, 48];

/// The time of an event.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub at: Instant,
    /// Seconds since 1970, for people.
    pub unix: u64,
}

/// The peers, and this node among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// This node's name.
    pub me: Arc<str>,
    /// The address that is reserved for probes in this node's pod CIDRs, of each family; `None` where there is none.
    pub own: [OwnAddress; 2],
    /// This node's address of each family by which others reach it.
    pub node: [Option<IpAddr>; 2],
    /// The paths, in the order of the peers' names.
    pub peers: Arc<Vec<Arc<Peer>>>,
}

/// This node's probe address of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnAddress {
    /// It has no pod CIDR of this family.
    #[default]
    NoPods,
    /// Its pod CIDR has none to spare.
    NoRoom,
    /// This one.
    At(IpAddr),
}

/// The path to one peer, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The peer's name.
    pub name: Arc<str>,
    /// Its probe address; `None` where its pod CIDR has none to spare.
    pub probe: Option<IpAddr>,
    /// Any address of its pod CIDR: the family.
    pub family: Family,
    /// Its node address of the family.
    pub node: Option<IpAddr>,
    /// The largest packet that should pass, bytes.
    pub mtu: u32,
    /// Whether it is a neighbour on a link: each such peer takes an entry of the neighbour table.
    pub on_link: bool,
}

/// How this node's probe endpoint of one family is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// Not known yet.
    #[default]
    Unknown,
    /// Probes can be sent from this address.
    Ready(IpAddr),
    /// They cannot; how others are told, and why in a sentence.
    Not(Standing, String),
}

/// Which address of a node a datagram is sent from or was received at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The probe address.
    Probe,
    /// The node's own address.
    Node,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The peers are these.
    Wanted(Wanted),
    /// The endpoints are so.
    Endpoints([Endpoint; 2]),
    /// The largest number of entries that the two families' neighbour tables take (`gc_thresh3`).
    Neighbours([Option<u32>; 2]),
    /// A datagram came.
    Received {
        /// At which address.
        place: Place,
        /// From where.
        from: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// A request was refused.
    Refused {
        /// From which address it was sent.
        place: Place,
        /// Where it was sent to.
        to: IpAddr,
        /// Its nonce, where the error repeats that much of it.
        nonce: Option<u64>,
        /// Why.
        refusal: Refusal,
    },
    /// The test of this node's own packet filter could not be sent.
    NotTested(Family),
    /// The answer to [`Action::Examine`]: the rule of each family that drops probes and not packets of pods, in a sentence, and
    /// how long the look took.
    Examined([Option<String>; 2], Duration),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a request, from a port of this round.
    Request(Outgoing),
    /// Send an answer, from the port of the probes.
    Answer(Outgoing),
    /// Send a datagram to this node's own probe address, as if it came from this address of a peer.
    TestSelf {
        /// The pretended source.
        from: IpAddr,
        /// The own probe address.
        to: IpAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A new round begins: requests take new ports from now on.
    NewPorts,
    /// Find out whether a rule of this node drops probes and not packets of pods.
    Examine,
    /// A round trip of an open path took so long.
    Sample(Duration),
    /// What is reported has changed.
    Publish,
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// From which address.
    pub place: Place,
    /// Where to: the peer's address, and the port (0 for the port of the probes).
    pub to: SocketAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    path: u32,
    what: What,
    size: u32,
    sent: Instant,
    /// A packet filter said that it forbids it. It is waited for all the same: the peer needs as long to find that it is its own.
    prohibited: bool,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Full,
    Small,
    Node,
    Size(u32),
}

/// The machine.
pub struct Machine {
    wanted: Wanted,
    endpoints: [Endpoint; 2],
    tests: [SelfTest; 2],
    obstruction: Obstruction,
    paths: BTreeMap<u32, Box<Path>>,
    next_path: u32,
    by_probe: HashMap<IpAddr, u32>,
    by_node: HashMap<IpAddr, u32>,
    pending: HashMap<u64, Pending>,
    /// The nonces that wait, in the order in which they were sent.
    deadlines: VecDeque<(Instant, u64)>,
    key: RandomState,
    count: u64,
    schedule: Schedule,
    served: Served,
    /// Whether something changed that is not published yet, and when it was published last.
    is_changed: bool,
    published: Option<Instant>,
    /// What was sent and received.
    pub counts: Counts,
}

/// How often what has changed is published, and how often what has not.
const PUBLISH: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];

impl Machine {
    /// A machine that sends at most `rate` requests a second. `key` makes its nonces.
    pub fn new(rate: u32, key: RandomState, now: Now) -> Self {
        Self {
            wanted: Wanted::default(),
            endpoints: Default::default(),
            tests: Default::default(),
            obstruction: Obstruction::default(),
            paths: BTreeMap::new(),
            next_path: 0,
            by_probe: HashMap::new(),
            by_node: HashMap::new(),
            pending: HashMap::new(),
            deadlines: VecDeque::new(),
            key,
            count: 0,
            schedule: Schedule::new(rate, now.at),
            served: Served::default(),
            is_changed: true,
            published: None,
            counts: Counts::default(),
        }
    }

    /// Takes an event in; returns what must be done, in this order.
    pub fn on(&mut self, event: Event<'_>, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wanted(wanted) => self.want(wanted, now),
            Event::Endpoints(endpoints) => self.take_endpoints(endpoints, now),
            Event::Neighbours(limits) => self.schedule.limit(limits),
            Event::Received { place, from, bytes } => self.received(place, from, bytes, now, &mut actions),
            Event::Refused { place, to, nonce, refusal } => self.refused(place, to, nonce, refusal, now, &mut actions),
            Event::NotTested(family) => self.tests[family.index()].forget(),
            Event::Examined(found, took) => self.examined(found, took, now),
            Event::Tick => self.tick(now, &mut actions),
        }
        // What was answered is not waited for.
        while self.deadlines.front().is_some_and(|(_, nonce)| !self.pending.contains_key(nonce)) {
            self.deadlines.pop_front();
        }
        if self.publishes(now.at) {
            (self.is_changed, self.published) = (false, Some(now.at));
            actions.push(Action::Publish);
        }
        actions
    }

    /// When [`Event::Tick`] must be delivered.
    pub fn due(&self) -> Instant {
        let deadline = self.deadlines.front().map(|(sent, _)| *sent + PATIENCE);
        let tests = self.tests.iter().filter_map(SelfTest::due);
        let published = self.published.map(|at| at + PUBLISH[usize::from(!self.is_changed)]);
        let examination = self.obstruction.due();
        let all = deadline.into_iter().chain(tests).chain(published).chain(examination).chain([self.schedule.due()]);
        all.min().unwrap_or_else(|| self.schedule.due())
    }

    fn publishes(&self, now: Instant) -> bool {
        self.published.is_none_or(|at| now >= at + PUBLISH[usize::from(!self.is_changed)])
    }

    /// Keeps what is known of paths that stay.
    fn want(&mut self, wanted: Wanted, now: Now) {
        let mut known: HashMap<(Arc<str>, Family), u32> =
            self.paths.iter().map(|(id, path)| ((path.peer.name.clone(), path.peer.family), *id)).collect();
        let mut order = Vec::with_capacity(wanted.peers.len());
        for peer in wanted.peers.iter() {
            match known.remove(&(peer.name.clone(), peer.family)) {
                Some(id) => {
                    if let Some(path) = self.paths.get_mut(&id).filter(|path| path.peer != *peer) {
                        **path = Path::new(peer.clone(), now);
                        self.schedule.hurry(id);
                    }
                    order.push(id);
                }
                None => {
                    let id = self.next_path;
                    self.next_path = self.next_path.wrapping_add(1);
                    self.paths.insert(id, Box::new(Path::new(peer.clone(), now)));
                    self.schedule.hurry(id);
                    order.push(id);
                }
            }
        }
        for id in known.into_values() {
            self.paths.remove(&id);
        }
        // Each node begins behind itself, so that not all of them send to the same one at the same time.
        let behind = wanted.peers.iter().position(|peer| peer.name > wanted.me).unwrap_or_default();
        let behind = behind.min(order.len());
        order.rotate_left(behind);
        let near: Vec<bool> = order.iter().map(|id| self.paths.get(id).is_some_and(|path| path.peer.on_link)).collect();
        let family = |id: &u32| self.paths.get(id).map_or(Family::V4, |path| path.peer.family);
        let order = order.iter().zip(near).map(|(id, near)| (*id, family(id), near)).collect();
        self.schedule.order(order);
        self.by_probe = self.paths.iter().filter_map(|(id, path)| Some((path.peer.probe?, *id))).collect();
        self.by_node = self.paths.iter().filter_map(|(id, path)| Some((path.peer.node?, *id))).collect();
        self.wanted = wanted;
        self.is_changed = true;
        self.rule_out(now);
    }

    fn take_endpoints(&mut self, endpoints: [Endpoint; 2], now: Now) {
        if self.endpoints != endpoints {
            self.endpoints = endpoints;
            self.is_changed = true;
            self.rule_out(now);
            self.schedule.restart(now.at);
        }
    }

    /// How this node stands of one family; `None` before that is known.
    fn standing(&self, family: Family) -> Option<Standing> {
        match &self.endpoints[family.index()] {
            Endpoint::Unknown => None,
            Endpoint::Not(standing, _) => Some(*standing),
            Endpoint::Ready(_) if self.obstruction.of(family).is_some() => Some(Standing::Obstructed),
            Endpoint::Ready(_) if self.tests[family.index()].is_closed() => Some(Standing::Closed),
            Endpoint::Ready(_) => Some(Standing::Open),
        }
    }

    /// Judges the paths that cannot be probed.
    fn rule_out(&mut self, now: Now) {
        let standings = Family::BOTH.map(|family| self.standing(family));
        for path in self.paths.values_mut() {
            let why = match standings[path.peer.family.index()] {
                Some(Standing::Open | Standing::Closed) if path.peer.probe.is_none() => Why::Peer(Standing::NoRoom),
                Some(Standing::Open | Standing::Closed) | None => {
                    if matches!(path.verdict, Verdict::NotProbed(Why::Own(_))) {
                        path.conclude(Verdict::Unknown, now);
                    }
                    continue;
                }
                Some(standing) => Why::Own(standing),
            };
            path.stage = None;
            path.conclude(Verdict::NotProbed(why), now);
        }
    }

    /// This node's probe address, where it probes.
    fn own(&self, family: Family) -> Option<IpAddr> {
        match &self.endpoints[family.index()] {
            Endpoint::Ready(address) if self.obstruction.of(family).is_none() => Some(*address),
            Endpoint::Ready(_) | Endpoint::Unknown | Endpoint::Not(..) => None,
        }
    }

    fn nonce(&mut self) -> u64 {
        self.count += 1;
        self.key.hash_one(self.count).max(1)
    }

    fn tick(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.time_out(now, actions);
        self.test_self(now, actions);
        if self.obstruction.due().is_some_and(|due| now.at >= due) {
            self.examine(now, actions);
        }
        if self.schedule.begins_round(now.at) {
            actions.push(Action::NewPorts);
        }
        for _ in 0..self.schedule.slot(now.at) {
            let sent = self.send_next(now, actions);
            if !sent {
                break;
            }
        }
    }

    /// Sends what is due next; false where nothing is.
    fn send_next(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        while let Some((id, what)) = self.schedule.next(now.at) {
            if self.send(id, what, now, actions) {
                self.schedule.sent(now.at);
                return true;
            }
        }
        false
    }

    /// Sends one request; false where it is not needed any more.
    fn send(&mut self, id: u32, what: What, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(path) = self.paths.get(&id) else { return false };
        let family = path.peer.family;
        let (Some(_), Some(probe)) = (self.own(family), path.peer.probe) else { return false };
        let full = path.peer.mtu.saturating_sub(HEADERS[family.index()]);
        let (place, to, size, about) = match (what, path.stage.as_deref()) {
            (What::Full, None) if path.is_judged_by_peer(now.at, self.schedule.round()) => {
                self.take_opinion(id, now);
                return false;
            }
            (What::Full, None) => (Place::Probe, probe, full, None),
            (What::Small, Some(Stage::Follow { small: Step::Queued, .. })) => (Place::Probe, probe, 0, None),
            (What::Node, Some(Stage::Follow { node: Step::Queued, lost, .. })) => {
                let Some(to) = path.peer.node else { return false };
                (Place::Node, to, 0, Some(*lost))
            }
            (What::Size(size), Some(Stage::Sizes { .. })) => (Place::Probe, probe, size, None),
            _ => return false,
        };
        let nonce = self.nonce();
        let datagram = Datagram {
            nonce,
            standing: self.standing(family).unwrap_or_default(),
            opinion: self.paths.get(&id).map_or(Opinion::None, |path| path.verdict.opinion()),
            message: Message::Request { about },
        };
        let bytes = datagram.write(size.try_into().unwrap_or(HEAD));
        self.pending.insert(nonce, Pending { path: id, what, size, sent: now.at, prohibited: false });
        self.deadlines.push_back((now.at, nonce));
        if let Some(path) = self.paths.get_mut(&id) {
            path.note_sent(what, nonce);
        }
        self.counts.requests += 1;
        actions.push(Action::Request(Outgoing { place, to: SocketAddr::new(to, 0), bytes }));
        true
    }
}

#[cfg(test)]
mod tests;
