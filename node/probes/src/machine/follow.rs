//! What an answer, a refusal or silence means for its path, and which request follows.

use std::net::IpAddr;
use std::time::Duration;

use super::path::{Path, Stage, Step};
use super::verdict::{Answer, Evidence, Refusal, Verdict, Why, judge};
use super::{Action, HEADERS, Machine, Now, PATIENCE, Pending, Place, What};
use crate::wire::{Datagram, HEAD, Standing};

/// How many sizes are tried at once.
const SIZES: u32 = 8;

/// How exactly the largest size is found, bytes.
const EXACT: u32 = 4;

/// What must be waited for is asked again at once where a round is shorter than this, else in the next one.
const NEXT_ROUND: Duration = Duration::from_secs(5);

/// How long beyond a round a peer may be silent before it counts as dead.
const BEYOND: Duration = Duration::from_millis(1200);

impl Machine {
    /// An answer came.
    pub(super) fn answered(
        &mut self,
        datagram: &Datagram,
        seen: IpAddr,
        earlier: Option<IpAddr>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(Pending { path: id, what, size, sent, prohibited: _ }) = self.pending.remove(&datagram.nonce) else {
            return;
        };
        let Some(path) = self.paths.get_mut(&id) else { return };
        path.hear(datagram.standing, datagram.opinion, now.at);
        let rtt = now.at.saturating_duration_since(sent);
        if what != What::Node {
            path.rtt = Some(rtt);
        }
        if path.answered(datagram.nonce, what, Answer::Came(seen), earlier) {
            if what == What::Full {
                actions.push(Action::Sample(rtt));
                self.passed(id, size, seen, now);
            } else {
                self.advance(id, now, actions);
            }
        }
    }

    /// A full-size request was answered.
    fn passed(&mut self, id: u32, size: u32, seen: IpAddr, now: Now) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        let family = path.peer.family;
        path.stage = None;
        path.losing = None;
        path.largest = Some(size + HEADERS[family.index()]);
        let own = self.own(family);
        let verdict = if own == Some(seen) { Verdict::Open } else { Verdict::Translated(Some(seen)) };
        self.conclude(id, verdict, now);
    }

    /// A request was refused by the network, or by this node's kernel.
    pub(super) fn refused(
        &mut self,
        place: Place,
        to: IpAddr,
        nonce: Option<u64>,
        refusal: Refusal,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let at = if place == Place::Probe { &self.by_probe } else { &self.by_node };
        let Some(id) = at.get(&to.to_canonical()).copied() else { return };
        let Some(path) = self.paths.get_mut(&id) else { return };
        if place == Place::Node && refusal == Refusal::Unreachable {
            path.unreachable = Some(now.at);
        }
        let nonce = nonce.filter(|nonce| self.pending.contains_key(nonce)).or_else(|| waits_for(path, place));
        let Some(nonce) = nonce else { return };
        if refusal == Refusal::Prohibited
            && let Some(pending) = self.pending.get_mut(&nonce)
        {
            pending.prohibited = true;
        } else if let Some(pending) = self.pending.remove(&nonce) {
            self.lost(nonce, pending, Answer::Refused(refusal), now, actions);
        }
    }

    /// Takes in what was not answered in time.
    pub(super) fn time_out(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some((sent, nonce)) = self.deadlines.front().copied()
            && now.at >= sent + PATIENCE
        {
            self.deadlines.pop_front();
            if let Some(pending) = self.pending.remove(&nonce) {
                let answer = if pending.prohibited { Answer::Refused(Refusal::Prohibited) } else { Answer::Silence };
                self.lost(nonce, pending, answer, now, actions);
            }
        }
    }

    fn lost(&mut self, nonce: u64, pending: Pending, answer: Answer<IpAddr>, now: Now, actions: &mut Vec<Action>) {
        let Pending { path: id, what, sent, .. } = pending;
        let Some(path) = self.paths.get_mut(&id) else { return };
        if !path.answered(nonce, what, answer, None) {
            return;
        }
        if what != What::Full {
            return self.advance(id, now, actions);
        }
        path.losing.get_or_insert(sent);
        match answer {
            Answer::Refused(Refusal::TooBig(mtu)) if mtu < path.peer.mtu && mtu > 0 => {
                // The network says which size it takes: packets of pods are told so too.
                let size = mtu.saturating_sub(HEADERS[path.peer.family.index()]);
                let lost = path.peer.mtu.saturating_sub(HEADERS[path.peer.family.index()]);
                let lost = lost.min(size + 1);
                path.stage = Some(Box::new(Stage::sizes(1, nonce, true, 0, lost)));
                self.schedule.follow(id, What::Size(size));
            }
            Answer::Refused(refusal) => self.follow(id, nonce, Some(refusal), now, actions),
            Answer::Silence | Answer::Came(_) => self.follow(id, nonce, None, now, actions),
        }
    }

    /// Begins a pass.
    fn follow(&mut self, id: u32, lost: u64, refused: Option<Refusal>, now: Now, actions: &mut Vec<Action>) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        path.follow(lost, refused);
        if let Some(&Stage::Follow { small, node, .. }) = path.stage.as_deref() {
            if small == Step::Queued {
                self.schedule.follow(id, What::Small);
            }
            if node == Step::Queued {
                self.schedule.follow(id, What::Node);
            }
        }
        self.advance(id, now, actions);
    }

    /// Goes on where all answers of a stage are there.
    fn advance(&mut self, id: u32, now: Now, actions: &mut Vec<Action>) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        match path.stage.as_deref() {
            Some(Stage::Follow { lost, small: Step::Done(small), node: Step::Done(node) }) => {
                let (lost, small, node) = (*lost, *small, *node);
                self.pass_ended(id, lost, (small, node), now, actions);
            }
            // The small one's answer is enough.
            Some(Stage::Follow { lost, small: Step::Done(Answer::Came(seen)), .. }) => {
                let (lost, seen) = (*lost, *seen);
                self.pass_ended(id, lost, (Answer::Came(seen), Answer::Silence), now, actions);
            }
            Some(Stage::Sizes { waiting, unsent: 0, about, told, passed, lost }) if waiting.is_empty() => {
                let (about, told, passed, lost) = (*about, *told, *passed, *lost);
                self.sizes_ended(id, (about, told), (passed, lost), now, actions);
            }
            _ => {}
        }
    }

    fn pass_ended(
        &mut self,
        id: u32,
        lost: u64,
        (small, node): (Answer<IpAddr>, Answer<Option<IpAddr>>),
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let round = self.schedule.round();
        let Some(path) = self.paths.get_mut(&id) else { return };
        let family = path.peer.family;
        let full = path.peer.mtu.saturating_sub(HEADERS[family.index()]);
        let Some(own) = self.own(family) else { return };
        let standing = self.standing(family).unwrap_or_default();
        let Some(path) = self.paths.get_mut(&id) else { return };
        if small == Answer::Came(own) {
            // By chance or by its size: larger ones tell, the full size among them.
            return self.try_sizes(id, lost, 0, full + 1);
        }
        let losing = *path.losing.get_or_insert(now.at);
        let is_heard = path.heard.is_some_and(|heard| heard > losing);
        let node = match node {
            Answer::Silence if path.unreachable.is_some_and(|at| at > losing) => Answer::Refused(Refusal::Unreachable),
            node => node,
        };
        let verdict = judge(&Evidence {
            own,
            standing,
            probe: small,
            node: path.peer.node.map(|_| node),
            peer: path.peer_stands(now.at, round),
            was_heard: path.heard.is_some(),
            is_heard,
        });
        let is_lost = matches!(verdict, Verdict::LostThere | Verdict::LostBack | Verdict::Lost | Verdict::PortFiltered);
        let silent_since = path.heard.unwrap_or(losing);
        let may_come = now.at < silent_since + round + BEYOND;
        let waits = match verdict {
            // Its requests may still say that its packet filter is closed.
            Verdict::PeerDead => node == Answer::Silence && may_come,
            Verdict::PortFiltered => may_come,
            Verdict::NotProbed(Why::NeverHeard | Why::BothClosed) => path.verdict == Verdict::Unknown && may_come,
            _ => false,
        };
        // A rule of this node may drop probes alone: it is looked for first.
        let is_looked_for = is_lost && !self.obstruction.was_looked_for_since(losing);
        let is_confirmed = !verdict.is_bad() || path.verdict == verdict || path.suspected == Some(verdict);
        path.suspected = if waits || !is_confirmed { Some(verdict) } else { path.suspected };
        if is_lost {
            self.examine(now, actions);
        }
        let Some(path) = self.paths.get_mut(&id) else { return };
        if waits || is_looked_for || !is_confirmed {
            if waits && round > NEXT_ROUND {
                path.stage = None;
                return;
            }
            return self.follow(id, lost, None, now, actions);
        }
        path.stage = None;
        self.conclude(id, verdict, now);
    }

    /// Sends requests of several sizes between one that passed and one that did not.
    fn try_sizes(&mut self, id: u32, about: u64, passed: u32, lost: u32) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        let least = passed.max(u32::try_from(HEAD).unwrap_or(0));
        let room = lost.saturating_sub(1).saturating_sub(least);
        let mut sizes: Vec<u32> = (1..=SIZES).map(|part| least + room * part / SIZES).collect();
        sizes.dedup();
        path.stage = Some(Box::new(Stage::sizes(sizes.len(), about, false, passed, lost)));
        for size in sizes {
            self.schedule.follow(id, What::Size(size));
        }
    }

    fn sizes_ended(
        &mut self,
        id: u32,
        (about, told): (u64, bool),
        (passed, lost): (u32, u32),
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        let headers = HEADERS[path.peer.family.index()];
        let full = path.peer.mtu.saturating_sub(headers);
        if passed == 0 {
            // Not even the small ones, now.
            return self.follow(id, about, None, now, actions);
        }
        let is_exact = passed >= full || told || passed + EXACT >= lost;
        // What an earlier search found exactly stands until this one has.
        if is_exact || path.largest.is_none_or(|known| known >= lost + headers) {
            path.largest = Some(passed + headers);
        }
        if passed >= full || told {
            // All pass; or the network said which size does, and it does.
            path.stage = None;
            path.losing = None;
            self.conclude(id, Verdict::Open, now);
        } else if passed + EXACT >= lost {
            path.stage = None;
            path.losing = None;
            self.conclude(id, Verdict::TooBig, now);
        } else {
            // Known to be too big; how much passes is found next.
            self.conclude(id, Verdict::TooBig, now);
            self.try_sizes(id, about, passed, lost);
        }
    }

    /// Takes the peer's verdict for the pair, where its packet filter is closed.
    pub(super) fn take_opinion(&mut self, id: u32, now: Now) {
        let Some(path) = self.paths.get(&id) else { return };
        let Some(standing @ (Standing::Open | Standing::Closed)) = self.standing(path.peer.family) else { return };
        if path.peer.probe.is_some()
            && let Some(verdict) = path.opinion_of_peer(standing)
        {
            self.conclude(id, verdict, now);
        }
    }

    fn conclude(&mut self, id: u32, verdict: Verdict, now: Now) {
        if let Some(path) = self.paths.get_mut(&id) {
            self.is_changed |= path.conclude(verdict, now);
        }
    }
}

/// The nonce of the request from `place` that the path waits for.
fn waits_for(path: &Path, place: Place) -> Option<u64> {
    match (path.stage.as_deref()?, place) {
        (Stage::Full(nonce), Place::Probe) => Some(*nonce),
        (Stage::Follow { small: Step::Sent(nonce), .. }, Place::Probe) => Some(*nonce),
        (Stage::Follow { node: Step::Sent(nonce), .. }, Place::Node) => Some(*nonce),
        _ => None,
    }
}
