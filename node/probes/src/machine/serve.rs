//! Answers to the requests of listed peers, and what was received of them lately.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netlink::Family;

use super::{Action, Machine, Now, Outgoing, Place};
use crate::wire::{Datagram, Message, Opinion};

/// So many received requests are remembered: those of 20 s, of 5,000 peers.
const REMEMBERED: usize = 4096;

/// So many answers are sent in a second at most: five times the rate of one node's requests.
const MOST: u32 = 1000;

/// What was received.
#[derive(Default)]
pub(super) struct Served {
    lately: VecDeque<(u64, IpAddr)>,
    second: Option<(Instant, u32)>,
}

impl Served {
    fn remember(&mut self, nonce: u64, from: IpAddr) {
        if self.lately.len() == REMEMBERED {
            self.lately.pop_front();
        }
        self.lately.push_back((nonce, from));
    }

    fn source_of(&self, nonce: u64) -> Option<IpAddr> {
        self.lately.iter().rev().find(|(known, _)| *known == nonce).map(|(_, from)| *from)
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        match &mut self.second {
            Some((began, sent)) if now < *began + Duration::from_secs(1) => {
                *sent += 1;
                *sent <= MOST
            }
            second => {
                *second = Some((now, 1));
                true
            }
        }
    }
}

impl Machine {
    pub(super) fn received(
        &mut self,
        place: Place,
        from: SocketAddr,
        bytes: &[u8],
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(datagram) = Datagram::read(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        let address = from.ip().to_canonical();
        match datagram.message {
            Message::Request { about } => {
                let from = SocketAddr::new(address, from.port());
                self.requested(place, from, &datagram, about, bytes.len(), now, actions);
            }
            Message::Answer { seen, earlier } => self.answered(&datagram, seen, earlier, now, actions),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one datagram, taken apart")]
    fn requested(
        &mut self,
        place: Place,
        from: SocketAddr,
        datagram: &Datagram,
        about: Option<u64>,
        size: usize,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let family = Family::of(from.ip());
        if place == Place::Probe && self.came_in(family, datagram.nonce, now) {
            return;
        }
        self.served.remember(datagram.nonce, from.ip());
        let known = match place {
            Place::Probe => self.by_probe.get(&from.ip()).or_else(|| self.by_node.get(&from.ip())),
            Place::Node => self.by_node.get(&from.ip()),
        };
        let Some(id) = known.copied() else {
            self.counts.unlisted += 1;
            return;
        };
        let own = self.standing(family).unwrap_or_default();
        let opinion = match self.paths.get_mut(&id) {
            Some(path) => {
                path.hear(datagram.standing, datagram.opinion, now.at);
                path.verdict.opinion()
            }
            None => Opinion::None,
        };
        self.take_opinion(id, now);
        if !self.served.may_answer(now.at) {
            self.counts.unanswered += 1;
            return;
        }
        let earlier = about.and_then(|about| self.served.source_of(about));
        if about.is_some() && earlier.is_none() {
            self.examine(now, actions);
        }
        let message = Message::Answer { seen: from.ip(), earlier };
        let answer = Datagram { nonce: datagram.nonce, standing: own, opinion, message };
        self.counts.answers += 1;
        actions.push(Action::Answer(Outgoing { place, to: from, bytes: answer.write(size) }));
    }
}
