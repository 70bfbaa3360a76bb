//! Whether this node's own packet filter lets probes in: it sends some to its own probe address, as if a peer had sent them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink::Family;

use super::{Action, Endpoint, Machine, Now};
use crate::wire::{Datagram, HEAD, Message, Opinion, Standing};

/// How often, and how long the probes may take through the node. Together less than two passes of a peer, which must hear of it
/// before it concludes that packets are lost.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(300);

/// The test of one family.
#[derive(Debug, Default)]
pub(super) struct SelfTest {
    /// Those that were sent last: both must be lost.
    nonces: [u64; 2],
    /// Since when they are waited for.
    waiting: Option<Instant>,
    next: Option<Instant>,
    is_closed: bool,
}

impl SelfTest {
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The last one was not sent.
    pub(super) fn forget(&mut self) {
        self.waiting = None;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.waiting {
            Some(sent) => Some(sent + PATIENCE),
            None => self.next,
        }
    }
}

impl Machine {
    /// Sends the tests that are due, and takes in those that were lost.
    pub(super) fn test_self(&mut self, now: Now, actions: &mut Vec<Action>) {
        for family in Family::BOTH {
            let index = family.index();
            let (Endpoint::Ready(own), Some(peer)) = (self.endpoints[index].clone(), self.a_peer(family)) else {
                self.tests[index] = SelfTest::default();
                continue;
            };
            let test = &mut self.tests[index];
            if let Some(sent) = test.waiting {
                if now.at < sent + PATIENCE {
                    continue;
                }
                test.waiting = None;
                if !std::mem::replace(&mut test.is_closed, true) {
                    self.stands_otherwise(now);
                }
            }
            let test = &mut self.tests[index];
            if test.next.is_none_or(|next| now.at >= next) {
                test.next = Some(now.at + EVERY);
                let nonces = [self.nonce(), self.nonce()];
                (self.tests[index].nonces, self.tests[index].waiting) = (nonces, Some(now.at));
                for nonce in nonces {
                    let message = Message::Request { about: None };
                    let datagram = Datagram { nonce, standing: Standing::Open, opinion: Opinion::None, message };
                    actions.push(Action::TestSelf { from: peer, to: own, bytes: datagram.write(HEAD) });
                }
            }
        }
    }

    /// Takes in a request that came to the probe address; true where it was a test.
    pub(super) fn came_in(&mut self, family: Family, nonce: u64, now: Now) -> bool {
        let test = &mut self.tests[family.index()];
        let is_test = test.nonces.contains(&nonce);
        if is_test {
            test.waiting = None;
            if std::mem::take(&mut test.is_closed) {
                self.stands_otherwise(now);
            }
        }
        is_test
    }

    /// The peers hear of it at once.
    fn stands_otherwise(&mut self, now: Now) {
        self.is_changed = true;
        self.schedule.restart_at_once(now.at);
    }

    fn a_peer(&self, family: Family) -> Option<IpAddr> {
        self.paths.values().find(|path| path.peer.family == family && path.peer.probe.is_some())?.peer.probe
    }
}
