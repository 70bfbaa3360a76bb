//! When the rules are compared and read without being asked to, and how often at most.

use std::time::{Duration, Instant};

/// How long to wait before the rules are compared for the second time in a row: another program may keep rewriting them.
pub(super) const PEACE: Duration = Duration::from_secs(1);

/// The least time between two comparisons of the host ports: the plugin changes them for each pod that has some.
pub(super) const PORTS: Duration = Duration::from_millis(20);

/// How soon rules that the kernel refused are tried again, where no event asks for it.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// How soon the event socket is opened again after it failed.
pub(super) const REOPEN: Duration = Duration::from_secs(1);

/// How soon after a change of foreign rules they are read: changes come in bursts, but until then `--accept-forward` has not
/// answered a policy that drops what pods send.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(100);

/// The least and the most time between two readings. A program that rewrites thousands of rules (kube-proxy) must not keep the
/// agent busy: readings take at most 1/[`LOOK_SHARE`] of the time up to a cost of 60 ms.
pub(super) const NEXT_LOOK: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(3)];
const LOOK_SHARE: u32 = 50;

/// When something is due that no event asks for.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) look: Option<Instant>,
    pub(super) put: Option<Instant>,
    pub(super) ports: Option<Instant>,
    pub(super) retry: Option<Instant>,
    pub(super) reopen: Option<Instant>,
    pub(super) slow: Instant,
    pub(super) count: Instant,
    /// When the foreign rules were read last, and when our own are, or were, compared because of an event.
    looked: Option<Instant>,
    /// The time from the last reading's begin to the next.
    rest: Duration,
    compared: Option<Instant>,
    ported: Option<Instant>,
}

impl Schedule {
    /// The event socket is opened, all rules are compared and counted at once.
    pub(super) fn starting(now: Instant) -> Self {
        let (reopen, slow, count) = (Some(now), now, now);
        let (look, put, ports, retry) = (None, None, None, None);
        Self {
            look,
            put,
            ports,
            retry,
            reopen,
            slow,
            count,
            looked: None,
            rest: NEXT_LOOK[0],
            compared: None,
            ported: None,
        }
    }

    /// What is due first.
    pub(super) fn first(&self) -> Instant {
        let sometimes = [self.look, self.put, self.ports, self.retry, self.reopen];
        sometimes.into_iter().flatten().fold(self.slow.min(self.count), Instant::min)
    }

    /// Another program may have changed the table of host ports.
    pub(super) fn ports_changed(&mut self, now: Instant) {
        if self.ports.is_none() {
            let due = self.ported.map_or(now, |last| now.max(last + PORTS));
            (self.ports, self.ported) = (Some(due), Some(due));
        }
    }

    /// Another program may have changed our tables, or foreign ones.
    pub(super) fn tables_changed(&mut self, ours: bool, others: bool, now: Instant) {
        if others && self.look.is_none() {
            let soon = now + FIRST_LOOK;
            self.look = Some(self.looked.map_or(soon, |last| soon.max(last + self.rest)));
        }
        if ours && self.put.is_none() {
            let again = self.compared.is_some_and(|last| now.saturating_duration_since(last) < PEACE);
            let due = if again { now + PEACE } else { now };
            (self.put, self.compared) = (Some(due), Some(due));
        }
    }

    /// The foreign rules are read now.
    pub(super) fn look_begins(&mut self, now: Instant) {
        (self.looked, self.look) = (Some(now), None);
    }

    /// The foreign rules were read.
    pub(super) fn look_ended(&mut self, now: Instant) {
        let took = self.looked.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        self.rest = took.saturating_mul(LOOK_SHARE).clamp(NEXT_LOOK[0], NEXT_LOOK[1]);
    }
}
