//! Random operations against an oracle that keeps it all in maps and queues, compared after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SETS: &[&[&str]] = &[&["10.0.0.0/29", "10.0.1.0/30"], &["2001:db8::/125"]];
const OWNERS: usize = 10;

#[derive(Debug, Clone)]
enum Step {
    Add(usize),
    AddThis(usize, usize),
    Del(usize),
    Gc(Vec<bool>),
    Fate(usize, Presence, Presence),
    Scavenge,
    Pass(u64),
    Reboot,
}

fn presence() -> impl Strategy<Value = Presence> {
    prop_oneof![3 => Just(Presence::Present), 3 => Just(Presence::Gone), 1 => Just(Presence::Unknown)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..OWNERS).prop_map(Step::Add),
        2 => (0..OWNERS, 0..20usize).prop_map(|(owner, address)| Step::AddThis(owner, address)),
        6 => (0..OWNERS).prop_map(Step::Del),
        1 => proptest::collection::vec(any::<bool>(), OWNERS).prop_map(Step::Gc),
        3 => (0..OWNERS, presence(), presence()).prop_map(|(owner, link, netns)| Step::Fate(owner, link, netns)),
        1 => Just(Step::Scavenge),
        2 => (1..200u64).prop_map(Step::Pass),
        1 => Just(Step::Reboot),
    ]
}

/// One range as a person would keep it.
#[derive(Debug)]
struct Pool {
    range: Range,
    fresh: VecDeque<IpAddr>,
    queue: VecDeque<(IpAddr, Stamp)>,
}

#[derive(Debug, Clone)]
struct Held {
    owner: usize,
    since: Stamp,
}

#[derive(Debug)]
struct Oracle {
    sets: Vec<Vec<Pool>>,
    leases: BTreeMap<IpAddr, Held>,
    /// Addresses in the order of their first use.
    order: Vec<IpAddr>,
    fates: Vec<(Presence, Presence)>,
    swept: BootId,
    now: Stamp,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Given(Vec<(IpAddr, bool)>),
    Duplicate,
    Exhausted,
    Taken,
    Refused,
}

impl Oracle {
    fn new(now: Stamp) -> Self {
        let pool = |range: &Range| {
            let all = std::iter::successors(Some(range.start()), |address| ipam::after(*address));
            let all = all.take_while(|address| *address <= range.end()).filter(|address| !range.reserves(*address));
            Pool { range: range.clone(), fresh: all.collect(), queue: VecDeque::new() }
        };
        let sets = SETS.iter().map(|subnets| set(subnets).ranges().iter().map(pool).collect()).collect();
        let fates = vec![(Presence::Present, Presence::Present); OWNERS];
        Self { sets, leases: BTreeMap::new(), order: Vec::new(), fates, swept: now.boot, now }
    }

    fn of(&self, owner: usize) -> Vec<IpAddr> {
        self.leases.iter().filter(|(_, held)| held.owner == owner).map(|(address, _)| *address).collect()
    }

    fn free(&mut self, address: IpAddr) {
        if let Some(held) = self.leases.remove(&address) {
            let mut pools = self.sets.iter_mut().flatten();
            let pool = pools.find(|pool| pool.range.contains(address)).unwrap();
            let began = held.since.age(&self.now).map_or(0, |_| held.since.millis);
            pool.queue.push_back((address, Stamp { millis: self.now.millis.max(began), ..self.now }));
        }
    }

    fn free_where(&mut self, pick: impl Fn(&Self, IpAddr, &Held) -> bool) -> usize {
        let used = self.order.iter().copied();
        let chosen: Vec<_> =
            used.filter(|address| self.leases.get(address).is_some_and(|held| pick(self, *address, held))).collect();
        chosen.iter().for_each(|address| self.free(*address));
        chosen.len()
    }

    fn add(&mut self, owner: usize, asked: &[IpAddr]) -> Answer {
        if self.swept != self.now.boot {
            self.free_where(|oracle, _, held| {
                held.since.boot != oracle.now.boot && oracle.fates[held.owner].1 == Presence::Gone
            });
            self.swept = self.now.boot;
        }
        let (link, netns) = self.fates[owner];
        let held = self.of(owner);
        if !held.is_empty() && link != Presence::Gone && netns != Presence::Gone {
            return Answer::Duplicate;
        }
        loop {
            let held = self.of(owner);
            let mut plan = Vec::new();
            let mut exhausted = None;
            for (position, pools) in self.sets.iter().enumerate() {
                let inside = |address: &IpAddr| pools.iter().any(|pool| pool.range.contains(*address));
                let wish = asked.iter().find(|address| inside(address));
                let kept = held.iter().find(|address| wish.map_or(inside(address), |wish| wish == *address));
                let next = || {
                    pools.iter().find_map(|pool| {
                        let fresh = pool.fresh.iter().find(|address| !self.order.contains(address));
                        // What the same call gives back first can come again.
                        let back =
                            held.iter().filter(|address| !plan.contains(*address) && pool.range.contains(**address));
                        let back = back.filter(|_| wish.is_some());
                        fresh.copied().or(pool.queue.front().map(|(address, _)| *address)).or(back.copied().next())
                    })
                };
                match (kept, wish) {
                    (Some(kept), _) => plan.push(*kept),
                    (None, Some(wish)) if self.leases.get(wish).is_some_and(|held| held.owner != owner) => {
                        return Answer::Taken;
                    }
                    (None, Some(wish)) => plan.push(*wish),
                    (None, None) => match next() {
                        Some(address) => plan.push(address),
                        None => {
                            exhausted = Some(position);
                            break;
                        }
                    },
                }
            }
            let Some(position) = exhausted else { return self.give(owner, &plan) };
            let freed = self.free_where(|oracle, address, held| {
                oracle.sets[position].iter().any(|pool| pool.range.contains(address))
                    && oracle.fates[held.owner] == (Presence::Gone, Presence::Gone)
            });
            if freed == 0 {
                return Answer::Exhausted;
            }
        }
    }

    fn give(&mut self, owner: usize, plan: &[IpAddr]) -> Answer {
        for address in self.of(owner) {
            if !plan.contains(&address) {
                self.free(address);
            }
        }
        let mut given = Vec::new();
        for address in plan {
            let mut early = false;
            // No two leases of an address begin at one moment.
            let mut since = self.leases.get(address).map_or(self.now, |held| self.now.past(held.since));
            let mut pools = self.sets.iter_mut().flatten();
            let pool = pools.find(|pool| pool.range.contains(*address)).unwrap();
            if let Some(position) = pool.queue.iter().position(|(queued, _)| queued == address) {
                let (_, released) = pool.queue.remove(position).unwrap();
                early = released.age(&self.now).is_some_and(|age| age < COOLDOWN);
                since = self.now.past(released);
            }
            if !self.order.contains(address) {
                self.order.push(*address);
            }
            self.leases.insert(*address, Held { owner, since });
            given.push((*address, early));
        }
        Answer::Given(given)
    }
}

fn answer(result: Result<Vec<Lease>, Error>) -> Answer {
    match result {
        Ok(leases) => Answer::Given(leases.iter().map(|lease| (lease.address.ip(), lease.reused_early)).collect()),
        Err(Error::Duplicate { .. }) => Answer::Duplicate,
        Err(Error::Exhausted { .. }) => Answer::Exhausted,
        Err(Error::RequestedTaken { .. }) => Answer::Taken,
        Err(Error::RequestedGateway { .. } | Error::RequestedUnplaced { .. }) => Answer::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// Addresses to ask for: of both families, good and bad.
fn wish(number: usize) -> IpAddr {
    match number {
        0..8 => ip(&format!("10.0.0.{number}")),
        8..12 => ip(&format!("10.0.1.{}", number - 8)),
        _ => ip(&format!("2001:db8::{:x}", number - 12)),
    }
}

fn run(steps: &[Step]) {
    let mut node = Node::new();
    let mut oracle = Oracle::new(node.now);
    for step in steps {
        // No two processes do their work within one millisecond; what if they did, the laws say.
        node.pass(Duration::from_millis(1));
        oracle.now = node.now;
        match step {
            Step::Add(number) => {
                let kept_flags = oracle.of(*number);
                let expected = oracle.add(*number, &[]);
                same(&answer(node.add(&want(SETS), &owner(*number))), &expected, &kept_flags, step);
            }
            Step::AddThis(number, address) => {
                let address = wish(*address);
                match asking(SETS, &[address]) {
                    Err(error) => assert_eq!(answer(Err(error)), Answer::Refused),
                    Ok(want) => {
                        let kept_flags = oracle.of(*number);
                        let expected = oracle.add(*number, &[address]);
                        same(&answer(node.add(&want, &owner(*number))), &expected, &kept_flags, step);
                    }
                }
            }
            Step::Del(number) => {
                let held = oracle.of(*number);
                let released = node.del(&owner(*number)).unwrap();
                assert_eq!(released.len(), held.len(), "{step:?}");
                // Chains give the last one first; each is in a pool of its own, so the order does not matter.
                held.iter().for_each(|address| oracle.free(*address));
            }
            Step::Gc(keep) => {
                let kept: Vec<_> = (0..OWNERS).filter(|number| keep[*number]).map(owner).collect();
                let freed = oracle.free_where(|_, _, held| !keep[held.owner]);
                assert_eq!(node.gc(&kept).unwrap().len(), freed, "{step:?}");
            }
            Step::Fate(number, link, netns) => {
                node.sees(&owner(*number), *link, *netns);
                oracle.fates[*number] = (*link, *netns);
            }
            Step::Scavenge => {
                let gone = (Presence::Gone, Presence::Gone);
                let freed = oracle.free_where(|oracle, _, held| oracle.fates[held.owner] == gone);
                assert_eq!(node.scavenge().unwrap().removed, freed as u64, "{step:?}");
            }
            Step::Pass(seconds) => node.pass(Duration::from_secs(*seconds)),
            Step::Reboot => node.reboot(),
        }
        oracle.now = node.now;
        compare(&node, &oracle, step);
    }
}

/// Flags of kept addresses are those of their first giving, which the oracle does not keep.
fn same(got: &Answer, expected: &Answer, kept: &[IpAddr], step: &Step) {
    let plain = |answer: &Answer| match answer {
        Answer::Given(list) => {
            Answer::Given(list.iter().map(|(address, early)| (*address, *early && !kept.contains(address))).collect())
        }
        Answer::Duplicate => Answer::Duplicate,
        Answer::Exhausted => Answer::Exhausted,
        Answer::Taken => Answer::Taken,
        Answer::Refused => Answer::Refused,
    };
    assert_eq!(plain(got), plain(expected), "{step:?}");
}

fn compare(node: &Node, oracle: &Oracle, step: &Step) {
    let audit = node.audit();
    let leases: BTreeMap<_, _> = audit
        .leases
        .iter()
        .map(|lease| (lease.address.ip(), (lease.owner.container_id.to_string(), lease.since.millis)))
        .collect();
    let expected: BTreeMap<_, _> = oracle
        .leases
        .iter()
        .map(|(address, held)| (*address, (format!("c{}", held.owner), held.since.millis)))
        .collect();
    assert_eq!(leases, expected, "after {step:?}");
    let queues: BTreeSet<Vec<IpAddr>> =
        oracle.sets.iter().flatten().map(|pool| pool.queue.iter().map(|(address, _)| *address).collect()).collect();
    for queue in queues {
        let got: Vec<_> = audit.released.iter().filter(|address| queue.contains(address)).copied().collect();
        assert_eq!(got, queue, "queue after {step:?}");
    }
    for number in 0..OWNERS {
        let mut found: Vec<_> = node.owned(&owner(number)).unwrap().iter().map(|lease| lease.address.ip()).collect();
        found.sort();
        assert_eq!(found, oracle.of(number), "lookup of {number} after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// I1, I2, I5, I6, I7.
    #[test]
    fn the_store_answers_as_the_oracle_does(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps);
    }

    /// Ranges that change from call to call: whatever is asked for, no address has two owners.
    #[test]
    fn changing_ranges_never_give_an_address_twice(
        steps in proptest::collection::vec((0..OWNERS, 0..5usize, any::<bool>()), 1..80),
    ) {
        let node = Node::new();
        let configs: [&[&[&str]]; 5] =
            [&[&["10.0.0.0/29"]], &[&["10.0.0.0/28"]], &[&["10.0.0.8/30", "10.0.0.0/30"]], &[&["10.0.0.4/30"]], &[&["10.0.0.0/24"]]];
        let mut held: BTreeMap<usize, IpAddr> = BTreeMap::new();
        for (number, config, add) in steps {
            if add {
                match node.add(&want(configs[config]), &owner(number)) {
                    Ok(leases) => {
                        let address = leases[0].address.ip();
                        prop_assert!(!held.values().any(|other| *other == address), "{address} twice");
                        prop_assert!(held.insert(number, address).is_none());
                    }
                    Err(Error::Duplicate { .. }) => prop_assert!(held.contains_key(&number)),
                    Err(Error::Exhausted { .. }) => {
                        let set = set(configs[config][0]);
                        let capacity: u64 = set.ranges().iter().map(Range::capacity).sum();
                        let inside = held.values().filter(|address| {
                            set.range_of(**address).is_some_and(|range| !range.reserves(**address))
                        }).count() as u64;
                        prop_assert_eq!(inside, capacity, "exhausted with room");
                    }
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
            } else {
                prop_assert_eq!(node.del(&owner(number)).unwrap().len(), usize::from(held.remove(&number).is_some()));
            }
            prop_assert_eq!(node.audit().leases.len(), held.len());
        }
    }
}

/// `PODLAN_LONG` is the number of cases of the long form.
pub(super) fn cases() -> u32 {
    std::env::var("PODLAN_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}
