//! The machine among others of its kind, in virtual time: a network that a test breaks as it likes.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use proptest::prelude::*;

use super::*;

const PORT: u16 = 10_111;

fn probe_of(node: usize) -> IpAddr {
    std::net::Ipv4Addr::from(0x0af0_0001 + u32::try_from(node).unwrap() * 256).into()
}

fn address_of(node: usize) -> IpAddr {
    std::net::Ipv4Addr::from(0xac10_0000 + u32::try_from(node).unwrap()).into()
}

fn peer(node: usize, on_link: bool) -> Arc<Peer> {
    Arc::new(Peer {
        name: format!("n{node:05}").into(),
        probe: Some(probe_of(node)),
        family: Family::V4,
        node: Some(address_of(node)),
        mtu: 1500,
        on_link,
    })
}

fn wanted(me: usize, nodes: usize, on_link: bool) -> Wanted {
    Wanted {
        me: format!("n{me:05}").into(),
        own: [OwnAddress::At(probe_of(me)), OwnAddress::NoPods],
        node: [Some(address_of(me)), None],
        peers: Arc::new((0..nodes).filter(|node| *node != me).map(|node| peer(node, on_link)).collect()),
    }
}

/// A datagram on its way.
struct InFlight {
    at: Instant,
    place: Place,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// What the network does to a datagram: from which node to which, at which place, of which size.
type Fate<'a> = dyn Fn(usize, usize, Place, usize) -> Treatment + 'a;

enum Treatment {
    Pass,
    Drop,
    Translate(IpAddr),
    Refuse(Refusal),
}

/// Nodes with a machine each. Only some are simulated; others are names.
struct World {
    now: Now,
    machines: Vec<Option<Machine>>,
    flying: Vec<InFlight>,
    sent: Vec<Vec<Instant>>,
    /// Nodes whose packet filter drops what comes in unasked.
    closed: BTreeSet<usize>,
    /// They say so (ICMP, administratively prohibited).
    prohibits: bool,
    /// Nodes with a rule that drops what their probe link forwards.
    obstructed: BTreeSet<usize>,
    /// How long a look at the rules takes.
    look: Duration,
}

impl World {
    fn new(alive: usize, nodes: usize) -> Self {
        let now = Now { at: Instant::now(), unix: 1_000_000 };
        let machines = (0..nodes).map(|node| {
            (node < alive).then(|| {
                let mut machine = Machine::new(200, RandomState::new(), now);
                machine.on(Event::Wanted(wanted(node, nodes, false)), now);
                let not = Endpoint::Not(Standing::NoRoom, "no IPv6".to_owned());
                machine.on(Event::Endpoints([Endpoint::Ready(probe_of(node)), not]), now);
                machine
            })
        });
        let machines = machines.collect();
        Self {
            now,
            machines,
            flying: Vec::new(),
            sent: vec![Vec::new(); nodes],
            closed: BTreeSet::new(),
            prohibits: false,
            obstructed: BTreeSet::new(),
            look: Duration::from_millis(20),
        }
    }

    fn node_of(&self, address: IpAddr) -> Option<usize> {
        (0..self.machines.len()).find(|node| probe_of(*node) == address || address_of(*node) == address)
    }

    /// Lets time pass, 10 ms at a time.
    fn pass(&mut self, time: Duration, fate: &Fate<'_>) {
        let until = self.now.at + time;
        while self.now.at < until {
            self.now.at += Duration::from_millis(10);
            self.deliver(fate);
            for node in 0..self.machines.len() {
                let now = self.now;
                let Some(machine) = &mut self.machines[node] else { continue };
                if machine.due() <= now.at {
                    let actions = machine.on(Event::Tick, now);
                    self.carry_out(node, actions, fate);
                }
            }
        }
    }

    fn deliver(&mut self, fate: &Fate<'_>) {
        let now = self.now;
        let (due, later) =
            std::mem::take(&mut self.flying).into_iter().partition(|flying: &InFlight| flying.at <= now.at);
        self.flying = later;
        for flying in due {
            let Some(node) = self.node_of(flying.to.ip()) else { continue };
            let Some(machine) = &mut self.machines[node] else { continue };
            let event = Event::Received { place: flying.place, from: flying.from, bytes: &flying.bytes };
            let actions = machine.on(event, now);
            self.carry_out(node, actions, fate);
        }
    }

    fn carry_out(&mut self, node: usize, actions: Vec<Action>, fate: &Fate<'_>) {
        for action in actions {
            match action {
                Action::Request(outgoing) => {
                    self.sent[node].push(self.now.at);
                    self.send(node, 40_000, &outgoing, false, fate);
                }
                Action::Answer(outgoing) => self.send(node, PORT, &outgoing, true, fate),
                Action::TestSelf { from, to, bytes } => {
                    if !self.closed.contains(&node) {
                        let (from, to) = (SocketAddr::new(from, 50_000), SocketAddr::new(to, PORT));
                        self.flying.push(InFlight { at: self.now.at, place: Place::Probe, from, to, bytes });
                    }
                }
                Action::Examine => {
                    let rule = self.obstructed.contains(&node).then(|| "a rule".to_owned());
                    let (now, took) = (self.now, self.look);
                    let machine = self.machines[node].as_mut().unwrap();
                    let actions = machine.on(Event::Examined([rule, None], took), now);
                    self.carry_out(node, actions, fate);
                }
                Action::NewPorts | Action::Sample(_) | Action::Publish => {}
            }
        }
    }

    fn send(&mut self, node: usize, port: u16, outgoing: &Outgoing, is_answer: bool, fate: &Fate<'_>) {
        let Some(peer) = self.node_of(outgoing.to.ip()) else { return };
        let own = if outgoing.place == Place::Probe { probe_of(node) } else { address_of(node) };
        let mut from = SocketAddr::new(own, port);
        match fate(node, peer, outgoing.place, outgoing.bytes.len()) {
            Treatment::Drop => return,
            Treatment::Pass => {}
            Treatment::Translate(address) => from.set_ip(address),
            Treatment::Refuse(refusal) => return self.refuse(node, outgoing, refusal, fate),
        }
        if outgoing.place == Place::Probe && [node, peer].iter().any(|end| self.obstructed.contains(end)) {
            return;
        }
        if !is_answer && self.closed.contains(&peer) {
            if self.prohibits {
                self.refuse(node, outgoing, Refusal::Prohibited, fate);
            }
            return;
        }
        // What goes to a translated address comes back to who sent from it.
        let to = if is_answer { outgoing.to } else { SocketAddr::new(outgoing.to.ip(), PORT) };
        let at = self.now.at + Duration::from_millis(2);
        self.flying.push(InFlight { at, place: outgoing.place, from, to, bytes: outgoing.bytes.clone() });
    }

    fn refuse(&mut self, node: usize, outgoing: &Outgoing, refusal: Refusal, fate: &Fate<'_>) {
        let nonce = Datagram::read(&outgoing.bytes).map(|datagram| datagram.nonce);
        let event = Event::Refused { place: outgoing.place, to: outgoing.to.ip(), nonce, refusal };
        let now = self.now;
        if let Some(machine) = &mut self.machines[node] {
            let actions = machine.on(event, now);
            self.carry_out(node, actions, fate);
        }
    }

    fn verdict(&self, node: usize, peer: usize) -> Verdict {
        let machine = self.machines[node].as_ref().unwrap();
        let path = machine.paths.values().find(|path| path.peer.probe == Some(probe_of(peer)));
        path.unwrap().verdict
    }

    fn settle(&mut self, fate: &Fate<'_>) {
        self.pass(Duration::from_secs(12), fate);
    }
}

fn pass(_: usize, _: usize, _: Place, _: usize) -> Treatment {
    Treatment::Pass
}

/// The verdicts of node 0 on node 1, and of node 1 on node 0, once the network treats packets so; and how long that took.
fn after(fate: &Fate<'_>, closed: &[usize], wanted: [Verdict; 2]) -> Duration {
    let mut world = World::new(2, 2);
    world.settle(&pass);
    assert_eq!([world.verdict(0, 1), world.verdict(1, 0)], [Verdict::Open; 2]);
    world.closed = closed.iter().copied().collect();
    let began = world.now.at;
    let mut right = None;
    for _ in 0..2000 {
        world.pass(Duration::from_millis(10), fate);
        let is_right = [world.verdict(0, 1), world.verdict(1, 0)] == wanted;
        right = right.filter(|_| is_right).or(is_right.then_some(world.now.at));
    }
    let right =
        right.unwrap_or_else(|| panic!("{:?} and {:?}, not {wanted:?}", world.verdict(0, 1), world.verdict(1, 0)));
    right.duration_since(began)
}

fn probes(place: Place) -> bool {
    place == Place::Probe
}

#[test]
fn each_fault_of_the_network_has_its_verdict_at_both_ends_within_five_seconds() {
    use Treatment::{Drop, Pass};
    let nat = address_of(0);
    let from = |who: usize| {
        move |from: usize, _: usize, place: Place, _: usize| if from == who && probes(place) { Drop } else { Pass }
    };
    let dead = |from: usize, to: usize, _: Place, _: usize| if from == 1 || to == 1 { Drop } else { Pass };
    let pods = |_: usize, _: usize, place: Place, _: usize| if probes(place) { Drop } else { Pass };
    let large = |_: usize, _: usize, _: Place, size: usize| if size > 1372 { Drop } else { Pass };
    let masquerade = |from: usize, _: usize, place: Place, _: usize| {
        if from == 0 && probes(place) { Treatment::Translate(nat) } else { Pass }
    };
    let translated = Verdict::Translated(Some(nat));
    for (what, fate, wanted) in [
        ("pods of 0 dropped", &from(0) as &Fate<'_>, [Verdict::LostThere, Verdict::LostBack]),
        ("pods of 1 dropped", &from(1), [Verdict::LostBack, Verdict::LostThere]),
        ("pods of both dropped", &pods, [Verdict::LostThere, Verdict::LostThere]),
        ("node 1 is dead", &dead, [Verdict::PeerDead, Verdict::PeerDead]),
        ("large ones dropped", &large, [Verdict::TooBig, Verdict::TooBig]),
        // What 1 begins is not translated.
        ("0 is masqueraded", &masquerade, [translated, Verdict::Open]),
    ] {
        let took = after(fate, &[], wanted);
        assert!(took <= Duration::from_secs(5), "{what}: {took:?}");
    }
}

#[test]
fn the_size_that_passes_is_found_to_a_few_bytes() {
    let mut world = World::new(2, 2);
    let large = |_: usize, _: usize, _: Place, size: usize| if size > 1372 { Treatment::Drop } else { Treatment::Pass };
    world.settle(&large);
    let path = world.machines[0].as_ref().unwrap().paths.values().next().unwrap();
    assert_eq!(path.verdict, Verdict::TooBig);
    assert!((1396..=1400).contains(&path.largest.unwrap()), "{:?}", path.largest);
}

#[test]
fn a_size_that_the_network_names_is_no_fault() {
    let mut world = World::new(2, 2);
    let told = |_: usize, _: usize, _: Place, size: usize| match size {
        1373.. => Treatment::Refuse(Refusal::TooBig(1400)),
        _ => Treatment::Pass,
    };
    world.settle(&told);
    let path = world.machines[0].as_ref().unwrap().paths.values().next().unwrap();
    assert_eq!((path.verdict, path.largest), (Verdict::Open, Some(1400)));
}

#[test]
fn where_one_side_is_closed_the_other_judges_and_where_both_are_nothing_is_said() {
    let mut world = World::new(3, 3);
    world.settle(&pass);
    world.closed = BTreeSet::from([0]);
    for _ in 0..100 {
        world.pass(Duration::from_millis(200), &pass);
        assert!(!world.verdict(0, 1).is_bad() && !world.verdict(1, 0).is_bad(), "no alarm at any time");
    }
    assert_eq!([world.verdict(0, 1), world.verdict(1, 0)], [Verdict::Open; 2]);
    let pods = |from: usize, to: usize, place: Place, _: usize| match (from.min(to), from.max(to)) {
        (0, 1) if probes(place) => Treatment::Drop,
        _ => Treatment::Pass,
    };
    world.settle(&pods);
    assert!(world.verdict(0, 1).is_bad() && world.verdict(1, 0).is_bad(), "the open side sees it, and says it");
    assert_eq!(world.verdict(0, 2), Verdict::Open);

    let mut world = World::new(2, 2);
    world.closed = BTreeSet::from([0, 1]);
    for _ in 0..100 {
        world.pass(Duration::from_millis(200), &pass);
        assert!(!world.verdict(0, 1).is_bad());
    }
    assert_eq!(world.verdict(0, 1), Verdict::NotProbed(Why::BothClosed));
}

#[test]
fn a_packet_filter_that_rejects_what_comes_in_and_says_so_is_no_alarm_at_any_time() {
    // At every phase of the rounds and of the peer's test of itself; its filter lets node addresses in, or not.
    for phase in 0..40 {
        let mut world = World::new(2, 2);
        world.prohibits = true;
        world.settle(&pass);
        world.pass(Duration::from_millis(phase * 100), &pass);
        world.closed = BTreeSet::from([0]);
        for _ in 0..150 {
            world.pass(Duration::from_millis(100), &pass);
            let (one, other) = (world.verdict(0, 1), world.verdict(1, 0));
            assert!(!one.is_bad() && !other.is_bad(), "{phase}: {one:?}, {other:?}");
            assert!(other != Verdict::PortFiltered, "{phase}: its own requests say that it is closed");
        }
        assert_eq!([world.verdict(0, 1), world.verdict(1, 0)], [Verdict::Open; 2]);
        world.closed = BTreeSet::from([0, 1]);
        for _ in 0..150 {
            world.pass(Duration::from_millis(100), &pass);
            let verdict = world.verdict(0, 1);
            assert!(!verdict.is_bad() && verdict != Verdict::PortFiltered, "{phase}: {verdict:?}");
        }
        assert_eq!([world.verdict(0, 1), world.verdict(1, 0)], [Verdict::NotProbed(Why::BothClosed); 2]);
    }
}

#[test]
fn where_both_sides_close_a_path_becomes_not_probed_within_two_rounds_without_an_alarm() {
    for (phase, prohibits) in (0..40).flat_map(|phase| [(phase, false), (phase, true)]) {
        let mut world = World::new(2, 2);
        world.prohibits = prohibits;
        world.settle(&pass);
        world.pass(Duration::from_millis(phase * 100), &pass);
        world.closed = BTreeSet::from([0, 1]);
        let began = world.now.at;
        let mut last_open = began;
        while world.now.at < began + Duration::from_secs(20) {
            world.pass(Duration::from_millis(50), &pass);
            let verdicts = [world.verdict(0, 1), world.verdict(1, 0)];
            assert!(verdicts.iter().all(|verdict| !verdict.is_bad()), "{phase}, {prohibits}: {verdicts:?}");
            if verdicts != [Verdict::NotProbed(Why::BothClosed); 2] {
                last_open = world.now.at;
            }
        }
        let took = last_open - began;
        assert!(took <= 2 * schedule::SHORTEST, "{phase}, {prohibits}: {took:?}");
    }
}

#[test]
fn a_filter_that_rejects_the_pod_addresses_alone_and_says_so_is_no_alarm_either() {
    for phase in 0..40 {
        let mut world = World::new(2, 2);
        world.settle(&pass);
        world.pass(Duration::from_millis(phase * 100), &pass);
        // Its test of itself is lost, and requests of the peer to its probe address are rejected.
        world.closed = BTreeSet::from([0]);
        let fate = |_: usize, to: usize, place: Place, _: usize| match (to, place) {
            (0, Place::Probe) => Treatment::Refuse(Refusal::Prohibited),
            _ => Treatment::Pass,
        };
        for _ in 0..25 {
            world.pass(Duration::from_millis(100), &fate);
            assert!(!world.verdict(1, 0).is_bad(), "{phase}: {:?}", world.verdict(1, 0));
        }
    }
}

#[test]
fn a_rule_that_drops_probes_and_not_pods_makes_a_path_not_probed_at_both_ends_without_an_alarm_before() {
    // Also where either node looked at its rules for another reason just before.
    let phases = (0..40).flat_map(|phase| [None, Some(0), Some(400), Some(900)].map(|looked| (phase, looked)));
    for (phase, looked) in phases {
        let mut world = World::new(3, 3);
        world.settle(&pass);
        world.pass(Duration::from_millis(phase * 100), &pass);
        if let Some(looked) = looked {
            for node in [0, 1] {
                let (mut actions, now) = (Vec::new(), world.now);
                world.machines[node].as_mut().unwrap().examine(now, &mut actions);
                world.carry_out(node, actions, &pass);
            }
            world.pass(Duration::from_millis(looked), &pass);
        }
        world.obstructed = BTreeSet::from([0]);
        for _ in 0..100 {
            world.pass(Duration::from_millis(100), &pass);
            let (one, other) = (world.verdict(0, 1), world.verdict(1, 0));
            assert!(!one.is_bad() && !other.is_bad(), "{phase}, {looked:?}: {one:?}, {other:?}");
        }
        assert_eq!(world.verdict(0, 1), Verdict::NotProbed(Why::Own(Standing::Obstructed)));
        assert_eq!(world.verdict(1, 0), Verdict::NotProbed(Why::Peer(Standing::Obstructed)));
        assert_eq!(world.verdict(1, 2), Verdict::Open);
        let machine = world.machines[0].as_ref().unwrap();
        assert_eq!(machine.report(PORT).not_probed["ipv4"], "a rule", "it is named");
        world.obstructed.clear();
        world.settle(&pass);
        assert_eq!([world.verdict(0, 1), world.verdict(1, 0)], [Verdict::Open; 2], "{phase}");
    }
}

#[test]
fn where_rules_may_not_be_looked_at_yet_this_node_does_not_say_that_probes_are_lost() {
    for phase in 0..40 {
        let mut world = World::new(2, 2);
        world.settle(&pass);
        world.pass(Duration::from_millis(phase * 100), &pass);
        // After so long a look the next one may be 10 s later.
        world.look = Duration::from_millis(500);
        let (mut actions, now) = (Vec::new(), world.now);
        world.machines[0].as_mut().unwrap().examine(now, &mut actions);
        world.carry_out(0, actions, &pass);
        // What was sent before the look is answered.
        world.pass(Duration::from_millis(20), &pass);
        world.obstructed = BTreeSet::from([0]);
        for _ in 0..150 {
            world.pass(Duration::from_millis(100), &pass);
            assert!(!world.verdict(0, 1).is_bad(), "{phase}: {:?}", world.verdict(0, 1));
        }
        assert_eq!(world.verdict(0, 1), Verdict::NotProbed(Why::Own(Standing::Obstructed)));
    }
}

#[test]
fn rules_are_looked_at_seldom_whatever_is_lost() {
    let now = Now { at: Instant::now(), unix: 0 };
    let mut machine = Machine::new(200, RandomState::new(), now);
    let mut looks = 0;
    for millis in 0..60_000 {
        let now = Now { at: now.at + Duration::from_millis(millis), ..now };
        let mut actions = Vec::new();
        machine.examine(now, &mut actions);
        if !actions.is_empty() {
            looks += 1;
            machine.on(Event::Examined([None, None], Duration::from_millis(500)), now);
        }
    }
    assert_eq!(looks, 6, "a look of 0.5 s each 10 s");
}

#[test]
fn a_peer_that_was_never_heard_is_not_probed_and_one_that_refuses_by_its_kernel_is_without_an_agent() {
    let mut world = World::new(1, 3);
    let fate = |_: usize, to: usize, _: Place, _: usize| match to {
        1 => Treatment::Drop,
        _ => Treatment::Refuse(Refusal::Port),
    };
    for _ in 0..100 {
        world.pass(Duration::from_millis(200), &fate);
        assert!(!world.verdict(0, 1).is_bad() && !world.verdict(0, 2).is_bad());
    }
    assert_eq!(world.verdict(0, 1), Verdict::NotProbed(Why::NeverHeard));
    assert_eq!(world.verdict(0, 2), Verdict::NoAgent);
}

#[test]
fn a_single_lost_packet_is_no_fault() {
    let mut world = World::new(2, 2);
    world.settle(&pass);
    for lost in 0..20 {
        let began = world.now.at;
        let window = |_: usize, _: usize, _: Place, _: usize| Treatment::Drop;
        world.pass(Duration::from_millis(60 + lost), &window);
        let mut bad = false;
        while world.now.at < began + Duration::from_secs(4) {
            world.pass(Duration::from_millis(50), &pass);
            bad |= world.verdict(0, 1).is_bad();
        }
        assert!(!bad, "{lost}");
    }
}

/// Runs one machine alone among `nodes`, whose peers all answer at once or never; returns when it sent to whom.
fn alone(nodes: usize, time: Duration, answers: bool, limits: [Option<u32>; 2]) -> Vec<(Instant, IpAddr, usize)> {
    let start = Now { at: Instant::now(), unix: 0 };
    let mut machine = Machine::new(200, RandomState::new(), start);
    machine.on(Event::Neighbours(limits), start);
    machine.on(Event::Wanted(wanted(0, nodes, limits[0].is_some())), start);
    let not = Endpoint::Not(Standing::NoRoom, String::new());
    machine.on(Event::Endpoints([Endpoint::Ready(probe_of(0)), not]), start);
    let mut now = start;
    let mut sent = Vec::new();
    let mut queue: BinaryHeap<Reverse<(Instant, Vec<u8>, IpAddr)>> = BinaryHeap::new();
    while now.at < start.at + time {
        let next = machine.due().min(queue.peek().map_or(now.at + Duration::from_secs(1), |Reverse((at, ..))| *at));
        now.at = next.max(now.at);
        let mut actions = Vec::new();
        while queue.peek().is_some_and(|Reverse((at, ..))| *at <= now.at) {
            let Some(Reverse((_, bytes, from))) = queue.pop() else { break };
            let from = SocketAddr::new(from, PORT);
            actions.extend(machine.on(Event::Received { place: Place::Probe, from, bytes: &bytes }, now));
        }
        actions.extend(machine.on(Event::Tick, now));
        let mut idle = true;
        for action in actions {
            match action {
                Action::Request(outgoing) => {
                    idle = false;
                    sent.push((now.at, outgoing.to.ip(), outgoing.bytes.len()));
                    if answers && let Some(request) = Datagram::read(&outgoing.bytes) {
                        let message = Message::Answer { seen: probe_of(0), earlier: None };
                        let answer = Datagram { message, ..request }.write(outgoing.bytes.len());
                        queue.push(Reverse((now.at + Duration::from_millis(1), answer, outgoing.to.ip())));
                    }
                }
                Action::TestSelf { from, bytes, .. } => {
                    let from = SocketAddr::new(from, 50_000);
                    machine.on(Event::Received { place: Place::Probe, from, bytes: &bytes }, now);
                }
                _ => {}
            }
        }
        if idle && machine.due() <= now.at {
            now.at += Duration::from_millis(1);
        }
    }
    sent
}

/// The most that were sent in any second.
fn most_in_a_second(sent: &[(Instant, IpAddr, usize)]) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (last, (at, ..)) in sent.iter().enumerate() {
        while sent[first].0 + Duration::from_secs(1) <= *at {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

#[test]
fn five_thousand_peers_are_each_probed_once_a_minute_and_never_more_than_the_rate_goes_out() {
    // Two families of 5,000 nodes are as many paths as 10,000 nodes of one.
    let sent = alone(10_000, Duration::from_secs(190), true, [None, None]);
    assert!(most_in_a_second(&sent) <= 200, "{}", most_in_a_second(&sent));
    let mut last: HashMap<IpAddr, Instant> = HashMap::new();
    let mut longest = Duration::ZERO;
    for (at, to, size) in &sent {
        assert_eq!(*size, 1472, "where all is well one full-size request is enough");
        if let Some(before) = last.insert(*to, *at) {
            longest = longest.max(*at - before);
        }
    }
    assert_eq!(last.len(), 9_999);
    assert!(longest <= Duration::from_secs(63), "{longest:?}");
}

#[test]
fn a_peer_that_is_new_or_has_changed_is_asked_within_a_second_among_five_thousand() {
    let start = Now { at: Instant::now(), unix: 0 };
    let mut machine = Machine::new(200, RandomState::new(), start);
    let mut all = wanted(0, 10_000, false);
    let new = Arc::make_mut(&mut all.peers).pop().unwrap();
    machine.on(Event::Wanted(all.clone()), start);
    let not = Endpoint::Not(Standing::NoRoom, String::new());
    machine.on(Event::Endpoints([Endpoint::Ready(probe_of(0)), not]), start);
    let run = |machine: &mut Machine, from: Instant, time: Duration| -> BTreeMap<IpAddr, Instant> {
        let mut asked = BTreeMap::new();
        let mut at = from;
        while at < from + time {
            at += Duration::from_millis(10);
            for action in machine.on(Event::Tick, Now { at, unix: 0 }) {
                if let Action::Request(outgoing) = action {
                    asked.entry(outgoing.to.ip()).or_insert(at);
                }
            }
        }
        asked
    };
    // All of them are new at first, and asked as fast as the rate allows.
    run(&mut machine, start.at, Duration::from_secs(70));
    let then = start.at + Duration::from_secs(70);
    Arc::make_mut(&mut all.peers).push(new);
    Arc::make_mut(&mut Arc::make_mut(&mut all.peers)[4321]).mtu = 1400;
    let changed = [all.peers[4321].probe.unwrap(), probe_of(9_999)];
    machine.on(Event::Wanted(all), Now { at: then, unix: 0 });
    let asked = run(&mut machine, then, Duration::from_secs(1));
    for peer in changed {
        assert!(asked.contains_key(&peer), "{peer} is not asked within a second");
    }
}

#[test]
fn a_report_counts_each_path_and_names_the_longest_lasting_of_each_word_the_worst_word_first() {
    let now = Now { at: Instant::now(), unix: 1000 };
    let mut machine = Machine::new(200, RandomState::new(), now);
    machine.on(Event::Wanted(wanted(0, 101, false)), now);
    for (place, path) in machine.paths.values_mut().enumerate() {
        let since = Now { unix: 1000 + (place as u64 * 37) % 100, ..now };
        path.conclude([Verdict::PeerDead, Verdict::Open, Verdict::LostThere, Verdict::NoAgent][place % 4], since);
    }
    let report = machine.report(PORT);
    let counts = &report.counts["ipv4"];
    assert_eq!(counts.len(), Verdict::WORDS.len());
    assert_eq!(["peer-dead", "open", "lost-there", "no-agent", "lost"].map(|word| counts[word]), [25, 25, 25, 25, 0]);
    assert!(!report.counts.contains_key("ipv6"), "there is no such path");
    let words: Vec<&str> = report.worst.iter().map(|line| line.state.as_str()).collect();
    assert_eq!(words, [["lost-there"; 20], ["peer-dead"; 20]].concat());
    for word in ["lost-there", "peer-dead"] {
        let listed: Vec<u64> = report.worst.iter().filter(|line| line.state == word).map(|line| line.since).collect();
        let later = machine.paths.values().filter(|path| path.verdict.word() == word && path.since > listed[19]);
        assert!(listed.is_sorted() && later.count() == 5, "{word}: {listed:?}");
    }
}

#[test]
fn each_round_begins_with_new_ports() {
    let start = Now { at: Instant::now(), unix: 0 };
    let mut machine = Machine::new(200, RandomState::new(), start);
    machine.on(Event::Wanted(wanted(0, 30, false)), start);
    let not = Endpoint::Not(Standing::NoRoom, String::new());
    machine.on(Event::Endpoints([Endpoint::Ready(probe_of(0)), not]), start);
    // Whom it asked since the last change of ports.
    let mut asked = BTreeSet::new();
    let mut rounds = 0;
    for millis in (0..20_000).step_by(10) {
        let now = Now { at: start.at + Duration::from_millis(millis), unix: 0 };
        for action in machine.on(Event::Tick, now) {
            match action {
                Action::NewPorts => {
                    rounds += 1;
                    asked.clear();
                }
                Action::Request(outgoing) if outgoing.place == Place::Probe && outgoing.bytes.len() > HEAD => {
                    assert!(asked.insert(outgoing.to.ip()), "a full-size request from the ports of the round before");
                }
                _ => {}
            }
        }
    }
    assert!((7..=9).contains(&rounds), "{rounds}");
}

#[test]
fn an_agent_of_three_nodes_wakes_three_times_a_second_at_most() {
    let mut world = World::new(3, 3);
    world.settle(&pass);
    let (began, mut woken) = (world.now.at, 0);
    while world.now.at < began + Duration::from_secs(60) {
        world.now.at += Duration::from_millis(10);
        world.deliver(&pass);
        for node in 0..3 {
            let now = world.now;
            let machine = world.machines[node].as_mut().unwrap();
            if machine.due() <= now.at {
                woken += usize::from(node == 0);
                let actions = machine.on(Event::Tick, now);
                world.carry_out(node, actions, &pass);
            }
        }
    }
    assert!(woken <= 180, "{woken} times in a minute");
}

#[test]
fn no_loss_makes_more_than_the_rate_go_out() {
    for nodes in [2, 30, 400, 3000] {
        let sent = alone(nodes, Duration::from_secs(40), false, [None, None]);
        assert!(most_in_a_second(&sent) <= 200, "{nodes}: {}", most_in_a_second(&sent));
    }
}

#[test]
fn four_hundred_peers_of_both_families_have_a_first_verdict_within_five_seconds() {
    let sent = alone(800, Duration::from_secs(5), true, [None, None]);
    let asked: BTreeSet<IpAddr> = sent.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(asked.len(), 799);
}

#[test]
fn neighbours_in_turn_stay_below_half_of_the_table() {
    let sent = alone(2000, Duration::from_secs(300), true, [Some(1024), None]);
    let minute = Duration::from_secs(60);
    for (index, (at, ..)) in sent.iter().enumerate().step_by(50) {
        // The first round is sent at once: the peers are new.
        let lately = sent[..=index].iter().rev().take_while(|(before, ..)| *before + minute > *at);
        let peers: BTreeSet<IpAddr> = lately.map(|(_, to, _)| *to).collect();
        assert!(peers.len() <= 512, "{} at {:?}", peers.len(), *at - sent[0].0);
    }
    assert!(sent.len() > 1000, "{}", sent.len());
}

#[test]
fn an_answer_is_as_long_as_its_request_and_goes_to_listed_peers_alone() {
    let now = Now { at: Instant::now(), unix: 0 };
    let mut machine = Machine::new(200, RandomState::new(), now);
    machine.on(Event::Wanted(wanted(0, 3, false)), now);
    let request = Datagram {
        nonce: 7,
        standing: Standing::Open,
        opinion: Opinion::None,
        message: Message::Request { about: None },
    };
    let mut answers = |place, from: IpAddr, size: usize| -> Vec<usize> {
        let bytes = request.write(size);
        let from = SocketAddr::new(from, 40_000);
        let actions = machine.on(Event::Received { place, from, bytes: &bytes }, now);
        let answer = |action: &Action| match action {
            Action::Answer(outgoing) => Some((outgoing.to, outgoing.bytes.len())),
            _ => None,
        };
        let answers: Vec<_> = actions.iter().filter_map(answer).collect();
        assert!(answers.iter().all(|(to, _)| *to == from));
        answers.into_iter().map(|(_, size)| size).collect()
    };
    for size in [HEAD, 700, 1472] {
        assert_eq!(answers(Place::Probe, probe_of(1), size), [size]);
        assert_eq!(answers(Place::Probe, address_of(1), size), [size], "it was translated");
        assert_eq!(answers(Place::Node, address_of(2), size), [size]);
        assert!(answers(Place::Probe, [192, 0, 2, 1].into(), size).is_empty());
        assert!(answers(Place::Node, probe_of(1), size).is_empty());
    }
    let many = (0..3000).filter(|_| !answers(Place::Probe, probe_of(1), HEAD).is_empty()).count();
    assert!(many <= 1000, "{many} in one moment");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_the_rate_holds_and_a_network_that_passes_again_is_open_again(
        nodes in 2_usize..6,
        losses in prop::collection::vec((0_usize..6, 0_usize..6, any::<bool>(), 1_u64..4000), 0..12),
    ) {
        let mut world = World::new(nodes, nodes);
        for (one, other, node_too, millis) in losses {
            let fate = |from: usize, to: usize, place: Place, _: usize| {
                if (from, to) == (one, other) && (node_too || probes(place)) { Treatment::Drop } else { Treatment::Pass }
            };
            world.pass(Duration::from_millis(millis), &fate);
        }
        world.pass(Duration::from_secs(15), &pass);
        for one in 0..nodes {
            for other in (0..nodes).filter(|other| *other != one) {
                prop_assert_eq!(world.verdict(one, other), Verdict::Open);
            }
            let sent: Vec<_> = world.sent[one].iter().map(|at| (*at, probe_of(0), 0)).collect();
            prop_assert!(most_in_a_second(&sent) <= 200);
        }
    }
}
