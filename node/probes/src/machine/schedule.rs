//! When which request is sent: never more than the rate in any second, what follows a loss before the round, and a round that
//! takes each path once.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use netlink::Family;

use super::What;

/// The shortest round.
pub(super) const SHORTEST: Duration = Duration::from_millis(2500);

/// So many paths are few: with all families of 400 peers.
const FEW: usize = 800;

/// So many neighbours that go in turn may go at once, because they are new.
const AT_ONCE: usize = 50;

/// Requests are sent in slots of this length.
const SLOT: Duration = Duration::from_millis(50);
const SLOTS_PER_SECOND: u32 = 20;

/// How long an entry of the neighbour table lives that nothing uses: the kernel keeps it a minute, and looks each 15 s.
const NEIGHBOUR_LIFE: Duration = Duration::from_secs(90);

pub(super) struct Schedule {
    per_slot: u32,
    /// The earliest time of the next slot.
    next_slot: Instant,
    /// Paths of the round: id, family, and whether the peer is a neighbour.
    order: Vec<(u32, Family, bool)>,
    began: Instant,
    length: Duration,
    /// The place of the next one, and whether the round's ports are new.
    cursor: usize,
    is_new: bool,
    /// How many of the round are due now.
    due: usize,
    /// Paths that are new or have changed, then requests that follow a loss, then the search for sizes.
    urgent: VecDeque<u32>,
    following: VecDeque<(u32, What)>,
    sizes: VecDeque<(u32, What)>,
    /// Neighbours that are taken in turn, of each family: how long between two, the next place, and when.
    near: [Option<Near>; 2],
    limits: [Option<u32>; 2],
    /// Of this slot: how many of the round may still go before what follows.
    turn: u32,
}

struct Near {
    paths: Vec<u32>,
    every: Duration,
    cursor: usize,
    next: Instant,
}

impl Schedule {
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self {
            per_slot: (rate / SLOTS_PER_SECOND).max(1),
            next_slot: now,
            order: Vec::new(),
            began: now,
            length: SHORTEST,
            cursor: 0,
            is_new: true,
            due: 0,
            urgent: VecDeque::new(),
            following: VecDeque::new(),
            sizes: VecDeque::new(),
            near: [None, None],
            limits: [None, None],
            turn: 0,
        }
    }

    /// How long a round takes.
    pub(super) fn round(&self) -> Duration {
        self.length
    }

    pub(super) fn order(&mut self, order: Vec<(u32, Family, bool)>) {
        self.order = order;
        self.cursor = self.cursor.min(self.order.len());
        self.set_length();
    }

    pub(super) fn limit(&mut self, limits: [Option<u32>; 2]) {
        if self.limits != limits {
            self.limits = limits;
            self.set_length();
        }
    }

    /// Neighbours of which there are more than half of the table takes go in turn, outside of the round.
    fn set_length(&mut self) {
        for family in Family::BOTH {
            let near: Vec<u32> =
                self.order.iter().filter(|path| path.1 == family && path.2).map(|path| path.0).collect();
            let most = self.limits[family.index()].map(|limit| (limit / 2).max(1));
            self.near[family.index()] = most.filter(|most| near.len() > *most as usize).map(|most| Near {
                paths: near,
                every: NEIGHBOUR_LIFE / most,
                cursor: self.near[family.index()].as_ref().map_or(0, |near| near.cursor),
                next: self.near[family.index()].as_ref().map_or(self.began, |near| near.next),
            });
        }
        self.keep_neighbours_in_turn();
        // A sixth of the rate is left for what follows a loss.
        let rate = self.per_slot * SLOTS_PER_SECOND;
        let paths = u32::try_from(self.in_round().count()).unwrap_or(u32::MAX);
        self.length = SHORTEST.max(Duration::from_secs(1) * paths * 6 / (rate * 5));
    }

    fn in_round(&self) -> impl Iterator<Item = &(u32, Family, bool)> {
        self.order.iter().filter(|(_, family, near)| !near || self.near[family.index()].is_none())
    }

    /// Begins the round again, with all paths as soon as the rate allows where they are few.
    pub(super) fn restart_at_once(&mut self, now: Instant) {
        self.restart(now);
        if self.order.len() <= FEW {
            self.urgent = self.order.iter().map(|path| path.0).collect();
            self.keep_neighbours_in_turn();
        }
    }

    /// However many neighbours are new, few of those that go in turn go at once.
    fn keep_neighbours_in_turn(&mut self) {
        let limited: BTreeSet<u32> = self.near.iter().flatten().flat_map(|near| &near.paths).copied().collect();
        let mut room = AT_ONCE;
        self.urgent.retain(|id| !limited.contains(id) || room.checked_sub(1).inspect(|left| room = *left).is_some());
    }

    /// Sends to this path as soon as the rate allows.
    pub(super) fn hurry(&mut self, id: u32) {
        if !self.urgent.contains(&id) || self.urgent.len() > 1000 {
            self.urgent.push_back(id);
        }
    }

    pub(super) fn follow(&mut self, id: u32, what: What) {
        match what {
            What::Size(_) => self.sizes.push_back((id, what)),
            _ => self.following.push_back((id, what)),
        }
    }

    /// Begins the round again.
    pub(super) fn restart(&mut self, now: Instant) {
        (self.began, self.cursor, self.is_new) = (now, 0, true);
    }

    /// Whether a round begins now.
    pub(super) fn begins_round(&mut self, now: Instant) -> bool {
        if self.cursor >= self.order.len() && now >= self.began + self.length {
            self.restart(now);
        }
        std::mem::take(&mut self.is_new)
    }

    /// How many requests may be sent now.
    pub(super) fn slot(&mut self, now: Instant) -> u32 {
        if now < self.next_slot {
            return 0;
        }
        let passed = now.saturating_duration_since(self.began).as_millis();
        let all = self.order.len() as u128;
        // The share of the round whose time has come, and one slot more.
        let due = all * (passed + SLOT.as_millis()) / self.length.as_millis().max(1);
        self.due =
            if self.is_one_slot() { self.order.len() } else { usize::try_from(due.min(all)).unwrap_or(usize::MAX) };
        self.turn = self.per_slot / 3;
        self.per_slot
    }

    /// Whether the whole round fits into a slot: then it is sent at once, so that a small cluster's agent seldom wakes.
    fn is_one_slot(&self) -> bool {
        self.order.len() <= self.per_slot as usize
    }

    /// The next request of this slot.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u32, What)> {
        let full = |id| (id, What::Full);
        if let Some(id) = self.urgent.pop_front() {
            return Some(full(id));
        }
        // Losses do not starve the round, nor the round what follows them.
        if self.turn > 0
            && let Some(id) = self.of_round(now)
        {
            self.turn -= 1;
            return Some(full(id));
        }
        let following = self.following.pop_front();
        following.or_else(|| self.of_round(now).map(full)).or_else(|| self.sizes.pop_front())
    }

    fn of_round(&mut self, now: Instant) -> Option<u32> {
        for near in self.near.iter_mut().flatten() {
            if now >= near.next && !near.paths.is_empty() {
                near.next = now + near.every;
                near.cursor = (near.cursor + 1) % near.paths.len();
                return Some(near.paths[near.cursor]);
            }
        }
        while self.cursor < self.due.min(self.order.len()) {
            let (id, family, near) = self.order[self.cursor];
            self.cursor += 1;
            if !near || self.near[family.index()].is_none() {
                return Some(id);
            }
        }
        None
    }

    /// Something was sent in this slot: the next one is a whole slot later.
    pub(super) fn sent(&mut self, now: Instant) {
        self.next_slot = now + SLOT;
    }

    /// When something may have to be sent.
    pub(super) fn due(&self) -> Instant {
        let queued = !(self.urgent.is_empty() && self.following.is_empty() && self.sizes.is_empty());
        if queued {
            return self.next_slot;
        }
        let next = match self.cursor >= self.order.len() {
            true => self.began + self.length,
            false if self.is_one_slot() => self.began,
            // The first millisecond at which `slot` counts the next path among those that are due: no earlier, or the agent
            // would wake again and again for nothing.
            false => {
                let share = self.length.as_millis() * (self.cursor as u128 + 1);
                let millis = share.div_ceil(self.order.len() as u128).saturating_sub(SLOT.as_millis());
                self.began + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
            }
        };
        let near = self.near.iter().flatten().map(|near| near.next);
        near.chain([next]).min().unwrap_or(next).max(self.next_slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_asks_for_a_time_at_which_there_is_nothing_to_send() {
        for peers in [1, 10, 11, 20, 49, 50, 51, 400] {
            let start = Instant::now();
            let mut schedule = Schedule::new(200, start);
            schedule.order((0..peers).map(|id| (id, Family::V4, false)).collect());
            let (mut now, mut sent, mut wakes) = (start, 0, 0);
            while now < start + 4 * SHORTEST {
                wakes += 1;
                schedule.begins_round(now);
                for _ in 0..schedule.slot(now) {
                    if schedule.next(now).is_none() {
                        break;
                    }
                    schedule.sent(now);
                    sent += 1;
                }
                // The loop's own time.
                now = schedule.due().max(now + Duration::from_micros(100));
            }
            assert!(sent >= 3 * peers, "{peers} peers: {sent} requests");
            assert!(wakes <= 2 * sent + 20, "{peers} peers: it wakes {wakes} times for {sent} requests");
        }
    }
}
