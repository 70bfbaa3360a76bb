//! What is known of one path, and the stage at which its judgement is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::verdict::{Answer, Refusal, Verdict, of_closed};
use super::{Now, Peer, What};
use crate::wire::{Opinion, Standing};

/// The path to one peer, of one family.
pub(super) struct Path {
    pub(super) peer: Arc<Peer>,
    pub(super) verdict: Verdict,
    /// Since when, in seconds since 1970.
    pub(super) since: u64,
    pub(super) rtt: Option<Duration>,
    /// The largest packet that passed, bytes.
    pub(super) largest: Option<u32>,
    /// When the peer was last heard: a request or an answer of its agent.
    pub(super) heard: Option<Instant>,
    /// How it said that it stands.
    pub(super) peer_said: Option<(Standing, Opinion)>,
    /// `None` while nothing is waited for. Of thousands of paths few wait.
    pub(super) stage: Option<Box<Stage>>,
    /// Since when nothing was answered.
    pub(super) losing: Option<Instant>,
    /// The verdict of the first pass.
    pub(super) suspected: Option<Verdict>,
    /// Its node address was said to be unreachable.
    pub(super) unreachable: Option<Instant>,
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Stage {
    /// The answer to a full-size request.
    Full(u64),
    /// Answers to the requests that follow a lost one.
    Follow {
        /// The lost one's nonce.
        lost: u64,
        small: Step<IpAddr>,
        /// Done with silence from the beginning where the peer has no node address.
        node: Step<Option<IpAddr>>,
    },
    /// Answers to requests of several sizes.
    Sizes {
        /// The sizes whose answers are waited for, by nonce.
        waiting: BTreeMap<u64, u32>,
        /// Those that are still to be sent.
        unsent: usize,
        /// The nonce of the request that was lost first.
        about: u64,
        /// The network said which size it takes.
        told: bool,
        /// The largest that passed, and the smallest that did not.
        passed: u32,
        lost: u32,
    },
}

/// One request of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<T> {
    Queued,
    Sent(u64),
    Done(Answer<T>),
}

impl Stage {
    pub(super) fn sizes(unsent: usize, about: u64, told: bool, passed: u32, lost: u32) -> Self {
        Self::Sizes { waiting: BTreeMap::new(), unsent, about, told, passed, lost }
    }
}

impl Path {
    pub(super) fn new(peer: Arc<Peer>, now: Now) -> Self {
        Self {
            peer,
            verdict: Verdict::Unknown,
            since: now.unix,
            rtt: None,
            largest: None,
            heard: None,
            peer_said: None,
            stage: None,
            losing: None,
            suspected: None,
            unreachable: None,
        }
    }

    /// Takes a verdict; true where it is another one.
    pub(super) fn conclude(&mut self, verdict: Verdict, now: Now) -> bool {
        self.suspected = None;
        let is_new = self.verdict != verdict;
        if is_new {
            (self.verdict, self.since) = (verdict, now.unix);
        }
        is_new
    }

    /// Takes in that the peer's agent was heard.
    pub(super) fn hear(&mut self, standing: Standing, opinion: Opinion, now: Instant) {
        self.heard = Some(now);
        self.peer_said = Some((standing, opinion));
    }

    /// How the peer stands, where it said so within two of its rounds.
    pub(super) fn peer_stands(&self, now: Instant, round: Duration) -> Option<(Standing, Opinion)> {
        let is_lately = |heard: &Instant| now.saturating_duration_since(*heard) < 2 * round + Duration::from_secs(5);
        self.peer_said.filter(|_| self.heard.as_ref().is_some_and(is_lately))
    }

    /// Whether requests to the peer say nothing, because its packet filter drops them, and it judges for the pair.
    pub(super) fn is_judged_by_peer(&self, now: Instant, round: Duration) -> bool {
        matches!(self.peer_stands(now, round), Some((Standing::Closed, opinion)) if opinion != Opinion::None)
    }

    /// The peer's own verdict, where it judges for the pair.
    pub(super) fn opinion_of_peer(&self, own: Standing) -> Option<Verdict> {
        match self.peer_said {
            Some((Standing::Closed, opinion)) if opinion != Opinion::None => Some(of_closed(own, opinion)),
            _ => None,
        }
    }

    pub(super) fn note_sent(&mut self, what: What, nonce: u64) {
        match (self.stage.as_deref_mut(), what) {
            (None, What::Full) => self.stage = Some(Box::new(Stage::Full(nonce))),
            (Some(Stage::Follow { small, .. }), What::Small) => *small = Step::Sent(nonce),
            (Some(Stage::Follow { node, .. }), What::Node) => *node = Step::Sent(nonce),
            (Some(Stage::Sizes { waiting, unsent, .. }), What::Size(size)) => {
                waiting.insert(nonce, size);
                *unsent = unsent.saturating_sub(1);
            }
            _ => {}
        }
    }

    /// Takes in the answer to a request of the stage; false where the stage does not wait for it any more.
    pub(super) fn answered(&mut self, nonce: u64, what: What, seen: Answer<IpAddr>, earlier: Option<IpAddr>) -> bool {
        let Some(stage) = self.stage.as_deref_mut() else { return false };
        match (stage, what) {
            (Stage::Full(sent), What::Full) => *sent == nonce,
            (Stage::Follow { small: step, .. }, What::Small) if *step == Step::Sent(nonce) => {
                *step = Step::Done(seen);
                true
            }
            (Stage::Follow { node: step, .. }, What::Node) if *step == Step::Sent(nonce) => {
                *step = Step::Done(match seen {
                    Answer::Came(_) => Answer::Came(earlier),
                    Answer::Silence => Answer::Silence,
                    Answer::Refused(refusal) => Answer::Refused(refusal),
                });
                true
            }
            (Stage::Sizes { waiting, passed, lost, .. }, What::Size(_)) => {
                let Some(size) = waiting.remove(&nonce) else { return false };
                match seen {
                    Answer::Came(_) => *passed = (*passed).max(size),
                    Answer::Silence | Answer::Refused(_) => *lost = (*lost).min(size),
                }
                true
            }
            _ => false,
        }
    }

    /// Begins a pass of requests that follow a lost one.
    pub(super) fn follow(&mut self, lost: u64, refused: Option<Refusal>) {
        let node = if self.peer.node.is_some() { Step::Queued } else { Step::Done(Answer::Silence) };
        let small = match refused {
            Some(Refusal::Port) => Step::Done(Answer::Refused(Refusal::Port)),
            _ => Step::Queued,
        };
        self.stage = Some(Box::new(Stage::Follow { lost, small, node }));
    }
}
