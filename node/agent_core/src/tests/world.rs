//! The world around the core: every part, the source, the kernel and the time are channels whose messages wait until the test
//! delivers them. What one channel holds is delivered in order, between channels there is no order.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use filter::{Filtered, RuleState, RuleStates, Wanted};
use install::housekeeping::{FilesState, Position};
use ipnetwork::IpNetwork;
use netlink::InheritedMtu;
use nodes::{Node, Snapshot};
use pods::leases::{Asked, LeaseCounts};
use routes::guard::Limits;
use routes::reconcile::Settings;
use routes::{Key, Target};
use state::State;
use state::control::Command;

use super::super::publication::FILES;
use super::super::{Action, Core, Event, Given, KernelEvents, MtuLook, Now, PartReport, PreviousList, Turned, Written};
use super::kernel::SimulatedKernel;

/// How long a withdrawal is held.
pub(super) const HOLD: Duration = Duration::from_secs(60);

/// Whatever can be late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Source,
    PreviousList,
    KernelEvents,
    Turn,
    Turned,
    Mtu,
    Sources,
    ToFilter,
    FromFilter,
    ToLeases,
    FromLeases,
    ToFiles,
    FromFiles,
    ToStateFile,
    FromStateFile,
    Commands,
}

pub(super) const CHANNELS: [Channel; 16] = [
    Channel::Source,
    Channel::PreviousList,
    Channel::KernelEvents,
    Channel::Turn,
    Channel::Turned,
    Channel::Mtu,
    Channel::Sources,
    Channel::ToFilter,
    Channel::FromFilter,
    Channel::ToLeases,
    Channel::FromLeases,
    Channel::ToFiles,
    Channel::FromFiles,
    Channel::ToStateFile,
    Channel::FromStateFile,
    Channel::Commands,
];

/// A list of nodes that the source will report: the numbers of the nodes, and whether some are missing.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) nodes: BTreeSet<u8>,
    pub(super) is_partial: bool,
}

pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Now,
    began: Instant,
    pub(super) kernel: SimulatedKernel,
    source: VecDeque<List>,
    last_list: Option<List>,
    previous_list: Option<Instant>,
    /// What the previous agent left.
    pub(super) left: Option<BTreeSet<u8>>,
    pub(super) kernel_events: VecDeque<KernelEvents>,
    /// Somebody removed a route, and no turn has looked since.
    is_disturbed: bool,
    turns: usize,
    turned: VecDeque<Turned>,
    mtus: usize,
    sources: usize,
    // The latest value counts, as between threads.
    to_filter: Option<Wanted>,
    from_filter: Option<Filtered>,
    to_leases: Option<Asked>,
    from_leases: Option<LeaseCounts>,
    to_files: Option<Position>,
    from_files: Option<FilesState>,
    to_state_file: Option<bool>,
    from_state_file: Option<bool>,
    /// `node.json` says that the node's routes have been in.
    is_filed_as_routed: bool,
    commands: VecDeque<Command>,
    /// The CIDRs of the conflist, once it is written.
    pub(super) conflist: Option<Vec<IpNetwork>>,
    pub(super) published: Option<State>,
    pub(super) answers: Vec<&'static str>,
    /// The names of the actions, in order.
    pub(super) log: Vec<&'static str>,
}

pub(super) fn cidr(i: u8) -> IpNetwork {
    format!("10.244.{i}.0/24").parse().unwrap()
}

pub(super) fn hop(i: u8) -> Target {
    Target::Hop { via: [10, 0, 0, i].into(), link: 2, onlink: false }
}

pub(super) fn snapshot(nodes: &BTreeSet<u8>, is_partial: bool, taken: Instant) -> Snapshot {
    let node = |i: &u8| Node::of(&format!("n{i}"), &[&format!("10.0.0.{i}")], &[&cidr(*i).to_string()]);
    Snapshot { partial: is_partial, ..Snapshot::new(nodes.iter().map(node).collect(), taken) }
}

impl World {
    pub(super) fn new(lists: impl IntoIterator<Item = List>) -> Self {
        let now = Now::of_test();
        let limits = Limits { share: 0.5, hold: HOLD };
        let given = Given {
            settings: Settings { me: "n1".into(), limits, by_routers: false },
            network: "podnet".to_owned(),
            writes_conflist: true,
            no_masquerade_to: Some(Vec::new()),
            resync: Duration::from_secs(30),
            state: State::starting("n1", "file x"),
            previous_agent: None,
        };
        let mut world = Self {
            core: Core::new(given, now),
            now,
            began: now.at,
            kernel: SimulatedKernel::default(),
            source: lists.into_iter().collect(),
            last_list: None,
            previous_list: None,
            left: None,
            kernel_events: VecDeque::new(),
            is_disturbed: false,
            turns: 0,
            turned: VecDeque::new(),
            mtus: 0,
            sources: 0,
            to_filter: None,
            from_filter: None,
            to_leases: None,
            from_leases: None,
            to_files: None,
            from_files: None,
            to_state_file: None,
            from_state_file: None,
            is_filed_as_routed: false,
            commands: VecDeque::new(),
            conflist: None,
            published: None,
            answers: Vec::new(),
            log: Vec::new(),
        };
        world.on(Event::Time);
        world
    }

    pub(super) fn on(&mut self, event: Event) {
        for action in self.core.on(event, self.now) {
            self.take(action);
        }
    }

    fn take(&mut self, action: Action) {
        let name = match action {
            Action::ReadPreviousList(taken) => {
                self.previous_list = Some(taken);
                "previous list"
            }
            Action::Turn => {
                self.turns += 1;
                "turn"
            }
            Action::AskMtu(_) => {
                self.mtus += 1;
                "mtu"
            }
            Action::AskSources => {
                self.sources += 1;
                "sources"
            }
            Action::Filter(wanted) => {
                self.to_filter = Some(wanted);
                "filter"
            }
            Action::Leases(asked) => {
                self.to_leases = Some(asked);
                "leases"
            }
            Action::Files(position) => {
                self.to_files = Some(position);
                "files"
            }
            Action::PodMtus(mtus) => {
                let published = self.published.as_ref().map(|state| &state.pod_mtus);
                assert_eq!(published, Some(&mtus), "pods follow an MTU before the state has it");
                "pod mtus"
            }
            Action::Probe(_) => "probe",
            Action::Refresh => {
                self.source.extend(self.last_list.clone());
                "refresh"
            }
            Action::Answer(text) => {
                self.answers.push(text);
                "answer"
            }
            Action::CountSourceError => "source error",
            Action::CountTurn(_) => "count",
            Action::Verdicts(_) => "verdicts",
            Action::NodeList(_) => "node list",
            Action::Publish(publication) => {
                self.check_publication(&publication.state);
                self.to_state_file = Some(publication.state.routed);
                self.published = Some(publication.state);
                "publish"
            }
        };
        self.log.push(name);
    }

    /// A state is published last: what it says is so.
    fn check_publication(&self, state: &State) {
        if state.ready {
            assert!(!state.pod_cidrs.is_empty());
            for cidr in &state.pod_cidrs {
                let key = Key::own(cidr.parse().unwrap());
                assert!(self.is_disturbed || self.kernel.routes.contains_key(&key), "ready without {cidr}");
            }
            assert!(self.log.contains(&"files"), "ready before the files were looked after");
            let late = self.now.at > self.began + FILES;
            assert!(self.conflist.is_some() || late, "ready before the configuration is written");
        }
        if !self.is_disturbed {
            assert!(state.v4.installed <= self.kernel.routes.len(), "{state:?} reports routes that are not there");
        }
    }

    pub(super) fn holds(&self, channel: Channel) -> bool {
        match channel {
            Channel::Source => !self.source.is_empty(),
            Channel::PreviousList => self.previous_list.is_some(),
            Channel::KernelEvents => !self.kernel_events.is_empty(),
            Channel::Turn => self.turns > 0,
            Channel::Turned => !self.turned.is_empty(),
            Channel::Mtu => self.mtus > 0,
            Channel::Sources => self.sources > 0,
            Channel::ToFilter => self.to_filter.is_some(),
            Channel::FromFilter => self.from_filter.is_some(),
            Channel::ToLeases => self.to_leases.is_some(),
            Channel::FromLeases => self.from_leases.is_some(),
            Channel::ToFiles => self.to_files.is_some(),
            Channel::FromFiles => self.from_files.is_some(),
            Channel::ToStateFile => self.to_state_file.is_some(),
            Channel::FromStateFile => self.from_state_file.is_some(),
            Channel::Commands => !self.commands.is_empty(),
        }
    }

    /// Delivers the next message of a channel that holds one.
    pub(super) fn deliver(&mut self, channel: Channel) {
        match channel {
            Channel::Source => self.report(),
            Channel::PreviousList => {
                if let Some(taken) = self.previous_list.take() {
                    let left = self.left.as_ref().map(|nodes| snapshot(nodes, false, taken));
                    let held = self.kernel.routes.clone();
                    self.on(Event::PreviousList(left.map(|list| PreviousList { list, held })));
                }
            }
            Channel::KernelEvents => {
                if let Some(events) = self.kernel_events.pop_front() {
                    self.on(Event::KernelEvents(events));
                }
            }
            Channel::Turn => {
                self.turns = self.turns.saturating_sub(1);
                let turned = self.core.turn(&mut self.kernel);
                self.is_disturbed &= !turned.as_ref().is_some_and(Turned::looked);
                self.turned.extend(turned);
            }
            Channel::Turned => {
                if let Some(turned) = self.turned.pop_front() {
                    self.on(Event::Turned(turned));
                }
            }
            Channel::Mtu => {
                self.mtus = self.mtus.saturating_sub(1);
                let mtu = InheritedMtu { mtu: 1500, ..InheritedMtu::default() };
                self.on(Event::Mtu(Ok(MtuLook { alone: mtu.clone(), now: mtu })));
            }
            Channel::Sources => {
                self.sources = self.sources.saturating_sub(1);
                self.on(Event::Sources(vec![IpAddr::from([10, 0, 0, 1])]));
            }
            Channel::ToFilter | Channel::ToLeases | Channel::ToFiles | Channel::ToStateFile => self.work(channel),
            Channel::FromFilter => {
                if let Some(filtered) = self.from_filter.take() {
                    self.on(Event::Parts(vec![PartReport::Filter(filtered)]));
                }
            }
            Channel::FromLeases => {
                if let Some(lease_counts) = self.from_leases.take() {
                    self.on(Event::Parts(vec![PartReport::Leases(lease_counts)]));
                }
            }
            Channel::FromFiles => {
                if let Some(files) = self.from_files.take() {
                    self.on(Event::Parts(vec![PartReport::Files(Some(files))]));
                }
            }
            Channel::FromStateFile => {
                if let Some(routed) = self.from_state_file.take() {
                    self.on(Event::Parts(vec![PartReport::Written(Written { failed: Vec::new(), routed })]));
                }
            }
            Channel::Commands => {
                if let Some(command) = self.commands.pop_front() {
                    self.on(Event::Order(command));
                }
            }
        }
    }

    fn report(&mut self) {
        let Some(list) = self.source.pop_front() else { return };
        let snapshot = snapshot(&list.nodes, list.is_partial, self.now.at);
        let cidrs: BTreeSet<IpNetwork> = list.nodes.iter().copied().map(cidr).collect();
        self.kernel.listed = match self.kernel.listed.take() {
            // By a part of a list nothing is gone.
            Some(listed) if list.is_partial => Some(listed),
            // A turn may still decide by the list before.
            Some(listed) => Some(listed.intersection(&cidrs).copied().collect()),
            None if list.is_partial => Some((0..=u8::MAX).map(cidr).collect()),
            None => Some(cidrs),
        };
        self.last_list = Some(list);
        self.on(Event::Report(Ok(snapshot)));
    }

    /// A part does what it was given last.
    fn work(&mut self, channel: Channel) {
        match channel {
            Channel::ToFilter => {
                if let Some(Wanted { version, sides, .. }) = self.to_filter.take() {
                    self.kernel.sides = sides;
                    let states = RuleStates { masquerade: RuleState::InPlace, ..RuleStates::default() };
                    self.from_filter = Some(Filtered { states, drops: None, version });
                }
            }
            Channel::ToLeases => {
                let begun = self.to_leases.take().map(|_| self.now.at);
                self.from_leases = Some(LeaseCounts { begun, is_listed: true, ..LeaseCounts::default() });
            }
            Channel::ToStateFile => {
                let Some(routed) = self.to_state_file.take() else { return };
                if routed != std::mem::replace(&mut self.is_filed_as_routed, routed) {
                    self.from_state_file = Some(routed);
                }
            }
            _ => {
                let Some(position) = self.to_files.take() else { return };
                if position.routed && !position.own.is_empty() {
                    assert!(self.is_filed_as_routed, "a conflist before node.json says that pods may come");
                    for cidr in &position.own {
                        let is_in = self.kernel.routes.contains_key(&Key::own(*cidr));
                        assert!(is_in || self.is_disturbed, "a conflist before the own route of {cidr}");
                    }
                    self.conflist = Some(position.own);
                }
                self.from_files = Some(FilesState { routed: position.routed, ..FilesState::default() });
            }
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(super) fn list(&mut self, list: List) {
        self.source.push_back(list);
    }

    /// Somebody removes a route; the events of it are lost.
    pub(super) fn remove(&mut self, key: Key) {
        self.is_disturbed |= self.kernel.routes.remove(&key).is_some();
        self.kernel_events.push_back(KernelEvents { lost: true, ..KernelEvents::default() });
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.now.clocks.unix += time.as_secs();
        self.now.clocks.boot += time.as_secs();
        if self.core.due() <= self.now.at {
            self.on(Event::Time);
        }
    }

    /// Delivers whatever waits; `late` only while nothing else waits.
    pub(super) fn settle(&mut self, late: Option<Channel>) {
        const ENOUGH: usize = 10_000;
        for _ in 0..ENOUGH {
            let mut others = CHANNELS.into_iter().filter(|channel| Some(*channel) != late);
            let Some(next) = others.find(|channel| self.holds(*channel)).or(late.filter(|late| self.holds(*late)))
            else {
                if let Some(list) = self.last_list.as_ref().filter(|list| !list.is_partial) {
                    self.kernel.listed = Some(list.nodes.iter().copied().map(cidr).collect());
                }
                return;
            };
            self.deliver(next);
        }
        panic!("it does not come to rest: {:?}", &self.log[self.log.len() - 50..]);
    }

    /// Lets time pass until everything that waits for a time has had its turn.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now.at + time;
        self.settle(None);
        while self.now.at < until {
            let next = self.core.due().min(until).max(self.now.at + Duration::from_millis(1));
            self.pass(next - self.now.at);
            self.settle(None);
        }
    }
}
