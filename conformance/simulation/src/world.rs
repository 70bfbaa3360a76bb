//! The cluster, its time and its messages. A message is delivered when its time comes; those of one kind to one agent stay in
//! order, between kinds there is no order. What an agent's shell does at once is done at once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_core::{
    Action, Core, Event, Given, KernelEvents, MtuLook, Now, PartReport, PreviousAgent, PreviousList, Written,
};
use filter::{Filtered, RuleState, RuleStates};
use install::housekeeping::FilesState;
use install::pools::{Pool, judge};
use kube::runtime::watcher;
use netlink::{Event as KernelEvent, InheritedMtu};
use nodes::Snapshot;
use pods::leases::{Known, LeaseCounts};
use probes::Probed;
use probes::machine::Place;
use routes::guard::Limits;
use routes::reconcile::Settings;
use source::kubernetes::NodeWatched;
use source::kubernetes::machine::WatchResult;
use state::{Clocks, State};

use crate::agent::{Agent, Part, Source, Watch};
use crate::api::{Api, Change};
use crate::coverage::Coverage;
use crate::fabric::Fabric;
use crate::host::{Host, NETWORK};
use crate::random::mix;

/// Microseconds since the beginning.
pub type Time = u64;

/// A millisecond and a second.
pub const MS: Time = 1000;
/// A second.
pub const S: Time = 1_000_000;

/// How long a withdrawal is held.
pub const HOLD: Time = 60 * S;

/// The UDP port of the probes.
pub const PORT: u16 = 4791;

/// How large the cluster is, and what it is like.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What everything depends on.
    pub seed: u64,
    /// How many nodes there are at the beginning.
    pub nodes: usize,
    /// On how many of them an agent runs.
    pub agents: usize,
    /// Segments.
    pub segments: usize,
    /// Whether the routers know the pod CIDRs, and the agents rely on that.
    pub by_routers: bool,
    /// Whether each node has IPv6 too.
    pub dual: bool,
    /// Every so manieth agent reads a file; 0 for none.
    pub files: usize,
    /// Nodes have addresses without a subnet: everything goes by the router, as in some clouds.
    pub narrow: bool,
}

impl Config {
    /// The cluster that a seed makes.
    pub fn of(seed: u64, nodes: usize) -> Self {
        let kind = mix(&[seed, 0xc0]);
        Self {
            seed,
            nodes,
            agents: usize::MAX,
            segments: 1 + usize::try_from(kind % 3).unwrap_or(0),
            by_routers: kind & 8 != 0,
            dual: kind & 16 != 0,
            files: if kind & 32 != 0 { 8 } else { 0 },
            narrow: kind & 8 != 0 && kind & 64 != 0,
        }
    }
}

/// What a message says.
#[derive(Debug)]
pub enum What {
    /// The core's time.
    CoreTimer,
    /// The kernel's events.
    KernelEvents,
    /// The source's time.
    SourceTimer,
    /// The API server answers a connection.
    WatchOpen(u64, bool),
    /// The next of a watch.
    WatchNext(u64),
    /// A list for the core.
    Report,
    /// What the agent before this one wrote is read.
    PreviousList(Instant),
    /// The packet filter is changed.
    FilterWork,
    /// It is reported.
    FilterDone(u64),
    /// The leases are looked at.
    LeasesWork,
    /// The result.
    LeasesDone(Box<LeaseCounts>),
    /// The files are looked after.
    FilesWork,
    /// The result.
    FilesDone,
    /// The run directory is written.
    StateWork,
    /// The result.
    StateDone,
    /// The probes' time.
    ProbeTimer,
    /// The probes' peers.
    ProbeWanted,
    /// A datagram of the probes.
    Datagram(Box<(Place, SocketAddr, Vec<u8>)>),
    /// A file was read.
    FileRead(u64, bool, Rc<str>),
    /// A file has changed.
    FileNotice,
}

/// The names of the messages' kinds.
pub const KINDS: [&str; 20] = [
    "core timer",
    "kernel events",
    "source timer",
    "watch opens",
    "watch event",
    "list",
    "previous list",
    "filter changes",
    "filter reports",
    "leases are read",
    "leases report",
    "files change",
    "files report",
    "state is written",
    "state reports",
    "probe timer",
    "probe peers",
    "probe datagram",
    "file is read",
    "file has changed",
];

impl What {
    fn kind(&self) -> usize {
        match self {
            Self::CoreTimer => 0,
            Self::KernelEvents => 1,
            Self::SourceTimer => 2,
            Self::WatchOpen(..) => 3,
            Self::WatchNext(_) => 4,
            Self::Report => 5,
            Self::PreviousList(_) => 6,
            Self::FilterWork => 7,
            Self::FilterDone(_) => 8,
            Self::LeasesWork => 9,
            Self::LeasesDone(_) => 10,
            Self::FilesWork => 11,
            Self::FilesDone => 12,
            Self::StateWork => 13,
            Self::StateDone => 14,
            Self::ProbeTimer => 15,
            Self::ProbeWanted => 16,
            Self::Datagram(_) => 17,
            Self::FileRead(..) => 18,
            Self::FileNotice => 19,
        }
    }
}

/// A message on its way.
struct Entry {
    at: Time,
    number: u64,
    host: usize,
    incarnation: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// A law that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The law's name.
    pub law: &'static str,
    /// How.
    pub text: String,
    /// At which step.
    pub step: u64,
    /// At which time.
    pub at: Time,
}

/// The cluster.
pub struct World {
    /// What it is like.
    pub config: Config,
    epoch: Instant,
    /// The time.
    pub now: Time,
    /// Events delivered and changes made so far.
    pub steps: u64,
    numbers: u64,
    queue: BinaryHeap<Entry>,
    /// The machines.
    pub hosts: Vec<Host>,
    /// The API server.
    pub api: Api,
    /// The fabric.
    pub fabric: Fabric,
    /// The text of the file of nodes.
    pub file: Rc<str>,
    /// Whether the file follows the API server.
    pub file_follows: bool,
    /// The addresses of all living pods, and their machines.
    pub living: BTreeMap<IpAddr, usize>,
    /// The law that was broken first.
    pub broken: Option<Broken>,
    /// What happened, in words; only where somebody reads it.
    pub transcript: Option<Vec<String>>,
    /// What the mix reached.
    pub coverage: Coverage,
    /// Free numbers of pod CIDRs; the one that was freed last is taken first.
    pub free_cidrs: Vec<u32>,
    next_cidr: u32,
    next_number: BTreeMap<usize, u32>,
    /// Events delivered to each agent in all, for the laws on work.
    pub delivered: Vec<u64>,
    /// Probe packets that were sent.
    pub datagrams: u64,
}

impl World {
    /// A cluster in which each node is on and each agent has just started.
    pub fn new(config: Config) -> Self {
        let fabric = Fabric { segments: config.segments, knows_pods: config.by_routers, losses: BTreeMap::new() };
        let mut world = Self {
            config,
            epoch: Instant::now(),
            now: S,
            steps: 0,
            numbers: 0,
            queue: BinaryHeap::new(),
            hosts: Vec::new(),
            api: Api::new(),
            fabric,
            file: "{\"kind\":\"NodeList\",\"items\":[]}".into(),
            file_follows: false,
            living: BTreeMap::new(),
            broken: None,
            transcript: None,
            coverage: Coverage::default(),
            free_cidrs: Vec::new(),
            next_cidr: 0,
            next_number: BTreeMap::new(),
            delivered: Vec::new(),
            datagrams: 0,
        };
        for _ in 0..config.nodes {
            world.add_machine();
        }
        world.file_follows = true;
        world.write_file();
        for host in 0..config.nodes.min(config.agents) {
            world.start_agent(host);
        }
        world
    }

    /// A machine with a node; its agent is not started.
    pub fn add_machine(&mut self) -> usize {
        let id = self.hosts.len();
        let segment = id % self.config.segments;
        let number = self.take_number(segment);
        let mut host = Host::new(id, segment, number, self.config, format!("n{id:04}"));
        host.boot(self.now, false);
        self.hosts.push(host);
        self.delivered.push(0);
        self.register(id, None);
        id
    }

    /// An unused number of a segment.
    pub fn take_number(&mut self, segment: usize) -> u32 {
        let next = self.next_number.entry(segment).or_insert(10);
        *next += 1;
        *next
    }

    /// Pod CIDRs that no node has.
    pub fn take_cidrs(&mut self) -> Vec<String> {
        let number = self.free_cidrs.pop().unwrap_or_else(|| {
            self.next_cidr += 1;
            self.next_cidr
        });
        self.cidrs_of(number)
    }

    /// The pod CIDRs of a number.
    pub fn cidrs_of(&self, number: u32) -> Vec<String> {
        let mut cidrs = vec![format!("10.{}.{}.0/24", 128 + number / 256, number % 256)];
        if self.config.dual {
            cidrs.push(format!("fd00:10:{number:x}::/64"));
        }
        cidrs
    }

    /// Gives pod CIDRs back.
    pub fn free(&mut self, cidrs: &[String]) {
        for cidr in cidrs {
            let mut parts = cidr.split(['.', '/']);
            let numbers: Option<(u32, u32, u32)> =
                (|| Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)))();
            if let Some((10, high @ 128..=255, low)) = numbers {
                let number = (high - 128) * 256 + low;
                let text = format!("10.{high}.{low}.0/24");
                let is_used = self.api.objects.values().any(|object| object.cidrs.contains(&text));
                if !is_used && *cidr == text && !self.free_cidrs.contains(&number) {
                    self.free_cidrs.push(number);
                }
            }
        }
    }

    /// Registers the machine's node with the API server, with these CIDRs or with new ones.
    pub fn register(&mut self, host: usize, cidrs: Option<Vec<String>>) {
        let cidrs = cidrs.unwrap_or_else(|| self.take_cidrs());
        let machine = &self.hosts[host];
        let addresses = machine.own_addresses().iter().map(|address| address.ip().to_string()).collect();
        let name = machine.name.clone();
        let uid = self.api.uid();
        self.api.put(&name, uid, addresses, cidrs);
        self.api_changed();
    }

    /// An instant of the simulated time.
    pub fn instant(&self, at: Time) -> Instant {
        self.epoch + Duration::from_micros(at)
    }

    fn time_of(&self, instant: Instant) -> Time {
        Time::try_from(instant.saturating_duration_since(self.epoch).as_micros()).unwrap_or(Time::MAX)
    }

    /// When a due time is reached: an instant between two microseconds is reached with the second.
    fn due(&self, instant: Instant) -> Time {
        let at = self.time_of(instant);
        if self.instant(at) < instant { at + 1 } else { at }
    }

    fn clocks(&self, host: usize) -> Clocks {
        let host = &self.hosts[host];
        let unix = (1_750_000_000 + self.now / S).saturating_add_signed(host.skew);
        Clocks { unix, boot: 1000 + (self.now - host.booted) / S }
    }

    fn core_now(&self, host: usize) -> Now {
        Now { at: self.instant(self.now), clocks: self.clocks(host) }
    }

    fn probe_now(&self, host: usize) -> probes::machine::Now {
        probes::machine::Now { at: self.instant(self.now), unix: self.clocks(host).unix }
    }

    /// Adds a line to the transcript.
    pub fn tell(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.transcript.is_some() {
            let line = format!("step {:>6}  {:>9.3} s  {}", self.steps, seconds(self.now), text(self));
            if let Some(transcript) = &mut self.transcript {
                transcript.push(line);
            }
        }
    }

    /// A law is broken.
    pub fn break_law(&mut self, law: &'static str, text: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { law, text, step: self.steps, at: self.now });
        }
    }

    /// Delivers what comes until then.
    pub fn pump(&mut self, until: Time) {
        while self.broken.is_none() {
            match self.queue.peek() {
                Some(entry) if entry.at <= until => {}
                _ => break,
            }
            let Some(entry) = self.queue.pop() else { break };
            self.now = self.now.max(entry.at);
            let host = &self.hosts[entry.host];
            if host.incarnation != entry.incarnation || host.agent.is_none() {
                continue;
            }
            if self.deliver(entry.host, entry.what) {
                self.steps += 1;
                self.delivered[entry.host] += 1;
            }
        }
        self.now = self.now.max(until);
    }

    /// The same for so long.
    pub fn pass(&mut self, span: Time) {
        self.pump(self.now + span);
    }

    /// Sends a message to the agent of a machine, with a delay between these.
    pub fn send(&mut self, host: usize, what: What, least: Time, most: Time) {
        let kind = what.kind();
        let machine = &mut self.hosts[host];
        machine.counts[kind] += 1;
        let number = mix(&[self.config.seed, host as u64, kind as u64, machine.counts[kind], machine.boot]);
        let delay = least + number % (most - least + 1);
        let Some(agent) = &mut machine.agent else { return };
        let at = (self.now + delay).max(agent.last_at[kind]);
        if !matches!(what, What::CoreTimer | What::SourceTimer | What::ProbeTimer) {
            agent.last_at[kind] = at;
        }
        self.numbers += 1;
        self.queue.push(Entry { at, number: self.numbers, host, incarnation: machine.incarnation, what });
    }

    fn at(&mut self, host: usize, at: Time, what: What) {
        self.numbers += 1;
        let incarnation = self.hosts[host].incarnation;
        self.queue.push(Entry { at: at.max(self.now), number: self.numbers, host, incarnation, what });
    }

    /// Starts the agent of a machine.
    pub fn start_agent(&mut self, host: usize) {
        if !self.hosts[host].is_on || self.hosts[host].agent.is_some() {
            return;
        }
        self.hosts[host].incarnation += 1;
        self.hosts[host].kernel.events.clear();
        let now = self.core_now(host);
        let machine = &self.hosts[host];
        let me = machine.name.clone();
        self.hosts[host].names.insert(me.clone());
        let machine = &self.hosts[host];
        let reads_file = self.config.files > 0 && host % self.config.files == self.config.files - 1;
        let mut state = State::starting(&me, if reads_file { "file nodes" } else { "kubernetes" });
        (state.started, state.boot_time) = (now.clocks.boot, now.clocks.boot);
        let previous = machine.run_dir.state.clone();
        state.pod_mtus = previous.as_ref().map(|previous| previous.pod_mtus.clone()).unwrap_or_default();
        let held = machine.kernel.node_routes();
        let previous_agent = previous.and_then(|previous| PreviousAgent::confirmed(previous, &me, &held));
        state.routed = previous_agent.is_some();
        let limits = Limits { share: 0.5, hold: Duration::from_micros(HOLD) };
        let given = Given {
            settings: Settings { me: me.as_str().into(), limits, by_routers: self.config.by_routers },
            network: NETWORK.to_owned(),
            writes_conflist: true,
            no_masquerade_to: Some(Vec::new()),
            resync: Duration::from_secs(30),
            state,
            previous_agent,
        };
        let at = self.instant(self.now);
        let source = if reads_file {
            Source::File { machine: source::file::machine::Machine::new(Duration::from_secs(30), at), last: None }
        } else {
            let seed = mix(&[self.config.seed, host as u64, machine.incarnation]);
            Source::Kubernetes { machine: source::kubernetes::machine::Machine::new(true, seed, at), watch: None }
        };
        self.hosts[host].agent = Some(Box::new(Agent {
            core: Core::new(given, now),
            core_timer: Time::MAX,
            source,
            source_timer: Time::MAX,
            reports: VecDeque::new(),
            filter: Part::default(),
            filter_since: 0,
            filtered: Filtered::default(),
            leases: Part::default(),
            files: Part::default(),
            files_state: FilesState::default(),
            state_files: Part::default(),
            node_list: None,
            written: Written::default(),
            verdicts: Arc::default(),
            published: None,
            probes: None,
            probe_timer: Time::MAX,
            peers: None,
            probe_second: (0, 0),
            listed: BTreeMap::new(),
            list: None,
            listed_at: None,
            own: (Vec::new(), self.now),
            held_at: 0,
            holds_since: None,
            is_released: false,
            answers: Vec::new(),
            started: self.now,
            last_at: [0; 32],
            events_coming: false,
        }));
        self.core(host, Event::Time);
        self.set_source_timer(host);
    }

    /// Ends the agent of a machine at once.
    pub fn kill_agent(&mut self, host: usize) {
        self.hosts[host].agent = None;
        self.hosts[host].incarnation += 1;
    }

    fn deliver(&mut self, host: usize, what: What) -> bool {
        let kind = what.kind();
        if let Some(agent) = &mut self.hosts[host].agent {
            let state = Coverage::state(agent);
            let timer = match what {
                What::CoreTimer => Some(&mut agent.core_timer),
                What::SourceTimer => Some(&mut agent.source_timer),
                What::ProbeTimer => Some(&mut agent.probe_timer),
                _ => None,
            };
            if let Some(timer) = timer {
                // It was set to another time since.
                if *timer > self.now {
                    return false;
                }
                *timer = Time::MAX;
            }
            self.coverage.count(kind, state);
        }
        match what {
            What::CoreTimer => {
                self.drain_events(host);
                self.core(host, Event::Time);
            }
            What::KernelEvents => {
                if let Some(agent) = &mut self.hosts[host].agent {
                    agent.events_coming = false;
                }
                self.drain_events(host);
            }
            What::Report => {
                self.drain_events(host);
                self.report(host);
            }
            What::SourceTimer => self.source_time(host),
            What::WatchOpen(number, streams) => self.watch_open(host, number, streams),
            What::WatchNext(number) => self.watch_next(host, number),
            What::FileRead(number, asked, text) => self.file_read(host, number, asked, &text),
            What::FileNotice => self.file_event(host, source::file::machine::Event::Noticed { gone: false }),
            What::PreviousList(taken) => self.previous_list(host, taken),
            What::FilterWork => self.filter_work(host),
            What::FilterDone(version) => {
                let states = RuleStates { masquerade: RuleState::InPlace, ..RuleStates::default() };
                let filtered = Filtered { states, drops: None, version };
                if let Some(agent) = &mut self.hosts[host].agent {
                    agent.filtered = filtered.clone();
                }
                self.core(host, Event::Parts(vec![PartReport::Filter(filtered)]));
            }
            What::LeasesWork => self.leases_work(host),
            What::LeasesDone(counts) => self.core(host, Event::Parts(vec![PartReport::Leases(*counts)])),
            What::FilesWork => self.files_work(host),
            What::FilesDone => {
                if let Some(state) = self.hosts[host].agent.as_ref().map(|agent| agent.files_state.clone()) {
                    self.core(host, Event::Parts(vec![PartReport::Files(Some(state))]));
                }
            }
            What::StateWork => self.state_work(host),
            What::StateDone => {
                if let Some(written) = self.hosts[host].agent.as_ref().map(|agent| agent.written.clone()) {
                    self.core(host, Event::Parts(vec![PartReport::Written(written)]));
                }
            }
            What::ProbeTimer => self.probe(host, probes::machine::Event::Tick),
            What::ProbeWanted => {
                if let Some(wanted) = self.hosts[host].agent.as_ref().and_then(|agent| agent.peers.clone()) {
                    self.want_probes(host, wanted);
                }
            }
            What::Datagram(datagram) => {
                let (place, from, bytes) = *datagram;
                self.probe(host, probes::machine::Event::Received { place, from, bytes: &bytes });
            }
        }
        true
    }

    /// Delivers an event to the core, and does all that follows, as the agent's shell does.
    pub fn core(&mut self, host: usize, event: Event) {
        let now = self.core_now(host);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        let mut actions: VecDeque<Action> = agent.core.on(event, now).into();
        while let Some(action) = actions.pop_front() {
            if let Some(outcome) = self.carry_out(host, action) {
                let Some(agent) = &mut self.hosts[host].agent else { return };
                let follows = agent.core.on(outcome, now);
                follows.into_iter().rev().for_each(|action| actions.push_front(action));
            }
        }
        let Some(due) = self.hosts[host].agent.as_ref().map(|agent| self.due(agent.core.due())) else { return };
        if let Some(agent) = &mut self.hosts[host].agent
            && due < agent.core_timer
        {
            agent.core_timer = due;
            self.at(host, due, What::CoreTimer);
        }
        self.kernel_changed(host);
    }

    fn carry_out(&mut self, host: usize, action: Action) -> Option<Event> {
        let machine = &mut self.hosts[host];
        let slow = machine.slow;
        let agent = machine.agent.as_mut()?;
        match action {
            Action::Turn => {
                machine.kernel.work.done.clear();
                let mut turned = agent.core.turn(&mut machine.kernel)?;
                turned.took = Duration::from_millis(1);
                self.check_changes(host);
                if let Some(agent) = &mut self.hosts[host].agent
                    && turned.is_ok()
                {
                    agent.is_released = false;
                }
                return Some(Event::Turned(turned));
            }
            Action::AskMtu(_) => {
                let mtu = machine.kernel.links.get(&machine.uplink).map_or(1500, |link| link.mtu);
                let mtu = InheritedMtu { mtu, ..InheritedMtu::default() };
                return Some(Event::Mtu(Ok(MtuLook { alone: mtu.clone(), now: mtu })));
            }
            Action::AskSources => {
                let own = machine.kernel.addresses.iter().map(|own| own.address.ip()).collect();
                return Some(Event::Sources(own));
            }
            Action::ReadPreviousList(taken) => self.send(host, What::PreviousList(taken), MS, 20 * MS),
            Action::Filter(wanted) => {
                agent.filter.next = Some(wanted);
                if !std::mem::replace(&mut agent.filter.is_busy, true) {
                    agent.filter_since = self.now;
                    let stuck = machine.filter_stuck.saturating_sub(self.now);
                    self.send(host, What::FilterWork, stuck + MS, stuck + 30 * MS * slow);
                }
            }
            Action::Leases(asked) => {
                agent.leases.next = Some(asked);
                self.look_at_leases(host);
            }
            Action::Files(position) => {
                agent.files.next = Some(position);
                if !std::mem::replace(&mut agent.files.is_busy, true) {
                    self.send(host, What::FilesWork, MS, 50 * MS * slow);
                }
            }
            Action::PodMtus(mtus) => {
                let published = agent.published.as_ref().map(|state| &state.pod_mtus);
                if published != Some(&mtus) {
                    let text = format!("machine {host}: pods follow the MTUs {mtus:?}, which the state does not have");
                    self.break_law("pods follow an MTU that the state has", text);
                }
            }
            Action::Probe(wanted) => {
                agent.peers = Some(wanted);
                if agent.probes.is_some() {
                    self.send(host, What::ProbeWanted, MS, 10 * MS);
                }
            }
            Action::Refresh => {
                self.tell(|world| format!("{} asks for a list of now", world.hosts[host].name));
                match self.hosts[host].agent.as_ref().map(|agent| &agent.source) {
                    Some(Source::Kubernetes { .. }) => {
                        self.source_event(host, source::kubernetes::machine::Event::Refresh);
                    }
                    Some(Source::File { .. }) => self.file_event(host, source::file::machine::Event::Refresh),
                    None => {}
                }
            }
            Action::Answer(text) => agent.answers.push(text),
            Action::CountSourceError | Action::CountTurn(_) => {}
            Action::Verdicts(lines) => agent.verdicts = lines,
            Action::NodeList(list) => {
                agent.node_list = Some(list);
                self.write_state(host);
            }
            Action::Publish(publication) => {
                let is_filed = publication.is_filed;
                let state = Box::new(publication.state);
                self.check_publication(host, &state);
                if let Some(agent) = &mut self.hosts[host].agent {
                    if is_filed {
                        agent.state_files.next = Some(state.clone());
                    }
                    if state.held.is_some() {
                        agent.held_at = self.now;
                        agent.holds_since.get_or_insert(self.now);
                    } else {
                        agent.holds_since = None;
                    }
                    agent.published = Some(state);
                }
                if is_filed {
                    self.write_state(host);
                }
            }
        }
        None
    }

    fn write_state(&mut self, host: usize) {
        let slow = self.hosts[host].slow;
        if let Some(agent) = &mut self.hosts[host].agent
            && !std::mem::replace(&mut agent.state_files.is_busy, true)
        {
            self.send(host, What::StateWork, MS, 10 * MS * slow);
        }
    }

    fn look_at_leases(&mut self, host: usize) {
        let slow = self.hosts[host].slow;
        if let Some(agent) = &mut self.hosts[host].agent
            && agent.leases.next.is_some()
            && !std::mem::replace(&mut agent.leases.is_busy, true)
        {
            self.send(host, What::LeasesWork, 5 * MS, 300 * MS * slow);
        }
    }

    /// Events of a kernel are on their way to its agent.
    pub fn kernel_changed(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        match &mut machine.agent {
            None => machine.kernel.events.clear(),
            Some(agent) if machine.kernel.events.is_empty() || agent.events_coming => {}
            Some(agent) => {
                agent.events_coming = true;
                self.send(host, What::KernelEvents, 50, 2 * MS);
            }
        }
    }

    fn drain_events(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let mut events = std::mem::take(&mut machine.kernel.events);
        if events.is_empty() && !machine.loses_events {
            return;
        }
        if std::mem::take(&mut machine.loses_events) {
            events = vec![KernelEvent::Overflow];
        }
        self.core(host, Event::KernelEvents(KernelEvents { events, lost: false, trouble: None }));
    }

    fn report(&mut self, host: usize) {
        let Some(report) = self.hosts[host].agent.as_mut().and_then(|agent| agent.reports.pop_front()) else { return };
        self.note_list(host, &report);
        self.core(host, Event::Report(report));
    }

    fn previous_list(&mut self, host: usize, taken: Instant) {
        let machine = &self.hosts[host];
        let list = machine.run_dir.nodes.as_ref().and_then(|bytes| source::file::nodes_of(bytes).ok());
        let previous = list.map(|nodes| {
            let held = machine.kernel.node_routes();
            PreviousList { list: Snapshot::new(nodes, taken), held }
        });
        self.core(host, Event::PreviousList(previous));
    }

    fn filter_work(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(agent) = &mut machine.agent else { return };
        if machine.filter_stuck > self.now {
            let rest = machine.filter_stuck - self.now;
            return self.send(host, What::FilterWork, rest + MS, rest + 5 * MS);
        }
        agent.filter.is_busy = false;
        if let Some(wanted) = agent.filter.next.take() {
            if wanted.sides.is_some() {
                machine.sides = wanted.sides;
            }
            self.send(host, What::FilterDone(wanted.version), 100, 5 * MS);
        }
    }

    fn leases_work(&mut self, host: usize) {
        let begun = self.instant(self.now);
        let machine = &mut self.hosts[host];
        let leased = machine.leased();
        let Some(agent) = &mut machine.agent else { return };
        agent.leases.is_busy = false;
        if agent.leases.next.is_none() {
            return;
        }
        let known = Known { network: NETWORK.to_owned(), addresses: Some(leased.into()), is_read: true };
        let counts = LeaseCounts { begun: Some(begun), stores: vec![known], is_listed: true, ..LeaseCounts::default() };
        self.send(host, What::LeasesDone(Box::new(counts)), MS, 20 * MS);
    }

    fn files_work(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(agent) = &mut machine.agent else { return };
        agent.files.is_busy = false;
        let Some(position) = agent.files.next.take() else { return };
        if position.routed && !position.own.is_empty() {
            let own = position.own.clone();
            self.check_conflist(host, &own);
            self.hosts[host].conflist = Some(own);
        }
        let machine = &mut self.hosts[host];
        let pools: Vec<Pool> = machine
            .conflist
            .iter()
            .flatten()
            .map(|subnet| Pool { subnet: *subnet, file: "10-podlan.conflist".to_owned() })
            .collect();
        let own: Vec<_> = position.own.iter().chain(&position.draining).copied().collect();
        let others = position.others.iter().map(|(name, cidr)| (&**name, *cidr));
        let dangers = judge(&pools, &position.leased, &own, others);
        if let Some(agent) = &mut machine.agent {
            agent.files_state = FilesState { dangers, routed: position.routed, ..FilesState::default() };
        }
        self.send(host, What::FilesDone, 100, 5 * MS);
    }

    fn state_work(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(agent) = &mut machine.agent else { return };
        agent.state_files.is_busy = false;
        if let Some(list) = agent.node_list.take() {
            machine.run_dir.nodes = Some(list);
        }
        let Some(state) = agent.state_files.next.take() else { return };
        let written = Written { failed: Vec::new(), routed: state.routed };
        machine.run_dir.state = Some(*state);
        if agent.written != written {
            agent.written = written;
            self.send(host, What::StateDone, 100, 5 * MS);
        }
    }

    fn set_source_timer(&mut self, host: usize) {
        let Some(agent) = &self.hosts[host].agent else { return };
        let due = match &agent.source {
            Source::Kubernetes { machine, .. } => machine.due(),
            Source::File { machine, .. } => machine.due(),
        };
        let Some(due) = due.map(|due| self.due(due)) else { return };
        if let Some(agent) = &mut self.hosts[host].agent
            && due < agent.source_timer
        {
            agent.source_timer = due;
            self.at(host, due, What::SourceTimer);
        }
    }

    fn source_time(&mut self, host: usize) {
        match self.hosts[host].agent.as_ref().map(|agent| &agent.source) {
            Some(Source::Kubernetes { .. }) => self.source_event(host, source::kubernetes::machine::Event::Tick),
            Some(Source::File { .. }) => self.file_event(host, source::file::machine::Event::Tick),
            None => {}
        }
    }

    fn source_event(&mut self, host: usize, event: source::kubernetes::machine::Event) {
        use source::kubernetes::machine::Action;
        let at = self.instant(self.now);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        let Source::Kubernetes { machine, watch } = &mut agent.source else { return };
        let mut reports = Vec::new();
        let mut opens = None;
        for action in machine.on(event, at) {
            match action {
                Action::Leave => *watch = None,
                Action::Watch { number, streams } => opens = Some((number, streams)),
                Action::Publish(report) => reports.push(report),
                Action::LogPages => {}
            }
        }
        self.publish(host, reports);
        if let Some((number, streams)) = opens {
            self.send(host, What::WatchOpen(number, streams), 2 * MS, 50 * MS);
        }
        self.set_source_timer(host);
    }

    fn publish(&mut self, host: usize, reports: Vec<source::Report>) {
        for report in reports {
            if let Some(agent) = &mut self.hosts[host].agent {
                agent.reports.push_back(report);
            }
            self.send(host, What::Report, 20, MS);
        }
    }

    fn watch_open(&mut self, host: usize, number: u64, streams: bool) {
        use source::kubernetes::machine::Event;
        if self.api.is_down {
            return self
                .source_event(host, Event::Watch(number, WatchResult::Failed(unreachable("connection refused"))));
        }
        if streams && !self.api.streams {
            return self.source_event(host, Event::Watch(number, WatchResult::CannotStream));
        }
        let (objects, cursor) = self.api.list();
        let mut list = VecDeque::from([watcher::Event::Init]);
        list.extend(objects.iter().filter_map(|object| parse(&object.text)).map(watcher::Event::InitApply));
        list.push_back(watcher::Event::InitDone);
        let history = self.api.history;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        let Source::Kubernetes { watch, .. } = &mut agent.source else { return };
        *watch = Some(Watch { number, list, cursor, history, is_busy: true, repeats: None });
        self.send(host, What::WatchNext(number), 50, MS);
    }

    fn watch_next(&mut self, host: usize, number: u64) {
        use source::kubernetes::machine::Event;
        let (is_down, history, compacted) = (self.api.is_down, self.api.history, self.api.compacted);
        let machine = &mut self.hosts[host];
        let slow = machine.slow;
        let Some(agent) = &mut machine.agent else { return };
        let Source::Kubernetes { watch: Some(watch), .. } = &mut agent.source else { return };
        if watch.number != number {
            return;
        }
        watch.is_busy = false;
        if let Some(event) = watch.list.pop_front() {
            watch.is_busy = true;
            self.source_event(host, Event::Watch(number, WatchResult::Event(Box::new(event))));
            return self.send(host, What::WatchNext(number), 5, 100 * slow);
        }
        if is_down || watch.history != history {
            let error = unreachable("error reading a body from connection");
            return self.source_event(host, Event::Watch(number, WatchResult::Failed(error)));
        }
        if watch.cursor < compacted {
            let error = unreachable("too old resource version: Expired (410)");
            return self.source_event(host, Event::Watch(number, WatchResult::Failed(error)));
        }
        let (event, repeats) = if let Some(text) = watch.repeats.take() {
            (parse(&text).map(watcher::Event::Apply), None)
        } else {
            match self.api.after(watch.cursor) {
                None => return,
                Some(change) => {
                    watch.cursor += 1;
                    match change {
                        Change::Apply(object) => {
                            // Now and then a change comes twice.
                            let twice = mix(&[self.config.seed, host as u64, watch.cursor]).is_multiple_of(16);
                            (parse(&object.text).map(watcher::Event::Apply), twice.then(|| object.text.clone()))
                        }
                        Change::Delete(object) => (parse(&object.text).map(watcher::Event::Delete), None),
                    }
                }
            }
        };
        watch.repeats = repeats;
        watch.is_busy = true;
        if let Some(event) = event {
            self.source_event(host, Event::Watch(number, WatchResult::Event(Box::new(event))));
        }
        self.send(host, What::WatchNext(number), 20, MS * slow);
    }

    /// Tells every watch that the store has changed, or that the server has gone.
    pub fn api_changed(&mut self) {
        let version = self.api.version();
        for host in 0..self.hosts.len() {
            let slow = self.hosts[host].slow;
            let (is_down, history) = (self.api.is_down, self.api.history);
            let Some(agent) = &mut self.hosts[host].agent else { continue };
            if let Source::Kubernetes { watch: Some(watch), .. } = &mut agent.source
                && !watch.is_busy
                && (watch.cursor < version || is_down || watch.history != history)
            {
                watch.is_busy = true;
                let number = watch.number;
                self.send(host, What::WatchNext(number), MS, 40 * MS * slow);
            }
        }
        if self.file_follows {
            self.write_file();
        }
    }

    /// Writes the file of nodes as the API server has them.
    pub fn write_file(&mut self) {
        if self.config.files == 0 {
            return;
        }
        let items: Vec<&str> = self.api.objects.values().map(|object| &*object.text).collect();
        self.set_file(format!("{{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"items\":[{}]}}", items.join(",\n")));
    }

    /// Writes something else.
    pub fn set_file(&mut self, text: String) {
        self.file = text.into();
        for host in 0..self.hosts.len() {
            let reads =
                self.hosts[host].agent.as_ref().is_some_and(|agent| matches!(agent.source, Source::File { .. }));
            if reads {
                self.send(host, What::FileNotice, 50, 3 * MS);
            }
        }
    }

    fn file_event(&mut self, host: usize, event: source::file::machine::Event) {
        use source::file::machine::{Action, Event};
        let at = self.instant(self.now);
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(agent) = &mut self.hosts[host].agent else { return };
            let Source::File { machine, .. } = &mut agent.source else { return };
            for action in machine.on(event, at) {
                match action {
                    Action::Watch { .. } => events.push_back(Event::Watched(true)),
                    Action::Read { number, asked } => {
                        let text = self.file.clone();
                        self.send(host, What::FileRead(number, asked, text), 100, 5 * MS);
                    }
                    Action::Publish(report) => self.publish(host, vec![report]),
                }
            }
        }
        self.set_source_timer(host);
    }

    fn file_read(&mut self, host: usize, number: u64, asked: bool, text: &Rc<str>) {
        let at = self.instant(self.now);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        let Source::File { last, .. } = &mut agent.source else { return };
        let is_new = last.as_ref().is_none_or(|last| last != text);
        *last = Some(text.clone());
        let report = (is_new || asked).then(|| match source::file::nodes_of(text.as_bytes()) {
            Ok(nodes) => Ok(Snapshot::new(nodes, at)),
            Err((line, problem)) => Err(source::Error::Malformed { path: "nodes.json".to_owned(), line, problem }),
        });
        self.file_event(host, source::file::machine::Event::Read { number, report, unread: false });
    }

    /// Starts the probes of an agent.
    pub fn start_probes(&mut self, host: usize) {
        let now = self.probe_now(host);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.probes = Some(Box::new(probes::machine::Machine::new(200, RandomState::new(), now)));
        if let Some(wanted) = agent.peers.clone() {
            self.want_probes(host, wanted);
        }
    }

    /// Ends the probes of an agent.
    pub fn stop_probes(&mut self, host: usize) {
        if let Some(agent) = &mut self.hosts[host].agent {
            (agent.probes, agent.probe_timer) = (None, Time::MAX);
        }
    }

    fn want_probes(&mut self, host: usize, wanted: probes::machine::Wanted) {
        use probes::machine::{Endpoint, Event, OwnAddress};
        use probes::wire::Standing;
        let endpoints = wanted.own.map(|own| match own {
            OwnAddress::At(address) => Endpoint::Ready(address),
            OwnAddress::NoPods => Endpoint::Not(Standing::Idle, "it has no pods".to_owned()),
            OwnAddress::NoRoom => Endpoint::Not(Standing::NoRoom, "no address to spare".to_owned()),
        });
        self.probe(host, Event::Wanted(wanted));
        self.probe(host, Event::Endpoints(endpoints));
    }

    fn probe(&mut self, host: usize, event: probes::machine::Event<'_>) {
        use probes::machine::{Action, Event};
        let now = self.probe_now(host);
        let mut examine = false;
        let Some(machine) = self.hosts[host].agent.as_mut().and_then(|agent| agent.probes.as_mut()) else { return };
        for action in machine.on(event, now) {
            match action {
                Action::Request(outgoing) => {
                    self.count_request(host);
                    self.send_datagram(host, outgoing.place, outgoing.to, outgoing.bytes, true);
                }
                Action::Answer(outgoing) => {
                    self.send_datagram(host, outgoing.place, outgoing.to, outgoing.bytes, false);
                }
                Action::TestSelf { from, bytes, .. } => {
                    let from = SocketAddr::new(from, PORT);
                    self.send(host, What::Datagram(Box::new((Place::Probe, from, bytes))), 20, MS);
                }
                Action::Examine => examine = true,
                Action::Publish => {
                    let Some(machine) = self.hosts[host].agent.as_ref().and_then(|agent| agent.probes.as_ref()) else {
                        return;
                    };
                    let probed =
                        Probed { paths: Some(machine.report(PORT)), counts: machine.counts, warnings: Vec::new() };
                    self.core(host, agent_core::Event::Parts(vec![PartReport::Probed(probed)]));
                }
                Action::NewPorts | Action::Sample(_) => {}
            }
        }
        if examine {
            let examined = Event::Examined([None, None], Duration::from_millis(1));
            return self.probe(host, examined);
        }
        let machine = self.hosts[host].agent.as_ref().and_then(|agent| agent.probes.as_ref());
        let Some(due) = machine.map(|machine| self.due(machine.due())) else { return };
        // A tick that is due at once comes a little later: the loop reads its sockets first.
        let due = due.max(self.now + 100);
        if let Some(agent) = &mut self.hosts[host].agent
            && due < agent.probe_timer
        {
            agent.probe_timer = due;
            self.at(host, due, What::ProbeTimer);
        }
    }

    fn send_datagram(&mut self, host: usize, place: Place, to: SocketAddr, bytes: Vec<u8>, is_request: bool) {
        self.datagrams += 1;
        let family = netlink::Family::of(to.ip());
        let Some(peers) = self.hosts[host].agent.as_ref().and_then(|agent| agent.peers.as_ref()) else { return };
        let source = match place {
            Place::Probe => match peers.own[family.index()] {
                probes::machine::OwnAddress::At(address) => Some(address),
                _ => None,
            },
            Place::Node => peers.node[family.index()].or_else(|| {
                let own = self.hosts[host].own_addresses();
                own.iter().map(|own| own.ip()).find(|own| family.holds(*own))
            }),
        };
        let Some(source) = source else { return };
        let arrived = self.walk(host, source, to.ip());
        let Ok(arrival) = arrived else { return };
        // The port of an agent that does not run refuses; nobody listens to that here.
        if self.hosts[arrival.host].agent.as_ref().is_none_or(|agent| agent.probes.is_none()) {
            return;
        }
        let place = if arrival.is_node { Place::Node } else { Place::Probe };
        let port = if is_request { 40_000 } else { PORT };
        let from = SocketAddr::new(arrival.source, port);
        self.send(arrival.host, What::Datagram(Box::new((place, from, bytes))), 100, 2 * MS);
    }

    fn count_request(&mut self, host: usize) {
        let second = self.now / S;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.probe_second =
            if agent.probe_second.0 == second { (second, agent.probe_second.1 + 1) } else { (second, 1) };
        if agent.probe_second.1 > 230 {
            let text = format!("machine {host} sends more than 200 requests in a second");
            self.break_law("probes keep to their rate", text);
        }
    }

    /// Has the leases of a machine looked at, as after a DEL.
    pub fn leases_changed(&mut self, host: usize) {
        if let Some(agent) = &mut self.hosts[host].agent
            && agent.leases.next.is_some()
        {
            self.look_at_leases(host);
        }
    }
}

fn parse(text: &str) -> Option<NodeWatched> {
    serde_json::from_str(text).ok()
}

fn unreachable(why: &str) -> source::Error {
    source::Error::Kubernetes { doing: "watch the nodes", why: why.to_owned() }
}

/// A time in seconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn seconds(time: Time) -> f64 {
    time as f64 / 1e6
}
