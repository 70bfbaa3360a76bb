//! What to do about the rules, and when: a state machine, (state, event, now) to (state, actions). It reads no clock and
//! sends no message: [`super::keep`] carries out the actions and returns their results as events.
//!
//! One request is under way at a time. A result that does not carry the number of that request is ignored.

use std::time::{Duration, Instant};

use hostport::Restored;

use super::interface::{Action, Answer, Event, Notice, Request};
use super::needs::Needs;
use super::schedule::{REOPEN, RETRY, Schedule};
use super::{Filtered, Forwarded, Wanted};
use crate::{Egress, RuleState};

/// A request that is not answered yet.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    request: Request,
    /// What was wanted when it was sent.
    version: u64,
}

/// The state.
#[derive(Debug)]
pub(super) struct Machine {
    every: Duration,
    count_every: Duration,
    egress: Egress,
    accepts: bool,
    forwarded: Option<Forwarded>,
    /// The version of `egress`.
    version: u64,
    under_way: Option<UnderWay>,
    requests: u64,
    needs: Needs,
    due: Schedule,
    /// Events were lost, or the socket could not be opened.
    is_deaf: bool,
    /// The rules are compared because another program changed them.
    restores: bool,
    /// The records of host ports that could not be read at the last look.
    unread: Vec<String>,
    filtered: Filtered,
    published: Filtered,
}

impl Machine {
    pub(super) fn new(every: Duration, count_every: Duration, egress: Egress, accepts: bool, now: Instant) -> Self {
        Self {
            every,
            count_every,
            egress,
            accepts,
            forwarded: None,
            version: 0,
            under_way: None,
            requests: 0,
            needs: Needs::default(),
            due: Schedule::starting(now),
            is_deaf: false,
            restores: false,
            unread: Vec::new(),
            filtered: Filtered::default(),
            published: Filtered::default(),
        }
    }

    /// When it wants [`Event::Tick`].
    pub(super) fn due(&self) -> Instant {
        self.due.first()
    }

    /// Takes in an event.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wanted(wanted) => self.take(wanted, now),
            Event::TablesChanged { ours, ports, others } => {
                self.due.tables_changed(ours, others, now);
                if ports {
                    self.due.ports_changed(now);
                }
            }
            Event::Deaf(error) => self.deaf(error, now, &mut actions),
            Event::Answered(number, answer) => {
                if let Some(asked) = self.under_way.take_if(|asked| asked.number == number) {
                    self.answered(&asked, answer, now, &mut actions);
                }
            }
            Event::Tick => self.tick(now),
        }
        self.proceed(now, &mut actions);
        actions
    }

    fn take(&mut self, wanted: Wanted, now: Instant) {
        let Wanted { version, sides, forwarded } = wanted;
        self.version = version;
        if let Some(sides) = sides {
            let egress = Egress::On(sides);
            // What failed is tried again.
            if self.egress != egress || self.filtered.states.masquerade != RuleState::InPlace {
                (self.egress, self.needs.masquerade) = (egress, true);
            }
        }
        if forwarded.is_some() && self.forwarded != forwarded {
            self.forwarded = forwarded;
            self.look(now);
        }
    }

    fn deaf(&mut self, error: String, now: Instant, actions: &mut Vec<Action>) {
        actions.push(Action::Log(Notice::Deaf(error)));
        self.is_deaf = true;
        self.due.reopen = Some(now + REOPEN);
    }

    fn tick(&mut self, now: Instant) {
        let is_due = |due: &mut Option<Instant>| due.take_if(|due| *due <= now).is_some();
        self.needs.listen |= is_due(&mut self.due.reopen);
        if is_due(&mut self.due.retry) {
            self.put();
        }
        if is_due(&mut self.due.look) {
            self.look(now);
        }
        if self.due.slow <= now {
            self.due.slow = now + self.every;
            self.look(now);
            self.put();
            self.needs.count = true;
        }
        if self.due.count <= now {
            self.due.count = now + self.count_every;
            self.needs.count = true;
        }
    }

    fn put(&mut self) {
        self.needs.source = true;
        self.needs.ports = true;
        // What an agent before this one put in place stays until the nodes are known.
        self.needs.masquerade |= self.egress != Egress::Unknown;
    }

    fn look(&mut self, now: Instant) {
        self.due.look_begins(now);
        self.needs.look |= self.forwarded.is_some();
    }

    fn answered(&mut self, asked: &UnderWay, answer: Answer, now: Instant, actions: &mut Vec<Action>) {
        if matches!(answer, Answer::Looked(_)) {
            self.due.look_ended(now);
        }
        match answer {
            Answer::Listening(Err(error)) => self.deaf(error, now, actions),
            Answer::Listening(Ok(())) if std::mem::take(&mut self.is_deaf) => self.due.put = Some(now),
            Answer::Listening(Ok(())) => {}
            Answer::Put { changed, failed } => {
                if changed && std::mem::take(&mut self.restores) {
                    actions.push(Action::Log(Notice::Restored));
                }
                self.stands(asked, failed, actions);
            }
            Answer::Ported { restored, failed } => {
                let Restored { changed, collected, unread } = restored;
                if changed {
                    actions.push(Action::Log(Notice::Restored));
                }
                actions.extend(collected.into_iter().map(|holder| Action::Log(Notice::Collected(holder))));
                let news = unread.iter().filter(|why| !self.unread.contains(why));
                actions.extend(news.map(|why| Action::Log(Notice::Unread(why.clone()))));
                self.unread = unread;
                self.stands(asked, failed, actions);
            }
            Answer::Looked(Err(error)) => actions.push(Action::Log(Notice::NotRead(error))),
            Answer::Looked(Ok(found)) => {
                let known = std::mem::replace(&mut self.filtered.states.forward, found);
                let new = self.filtered.states.forward.iter().filter(|found| found.certain && !known.contains(found));
                actions.extend(new.map(|found| Action::Log(Notice::Dropped(found.clone()))));
            }
            Answer::Counted(drops) => self.filtered.drops = drops,
        }
    }

    fn stands(&mut self, asked: &UnderWay, failed: Option<String>, actions: &mut Vec<Action>) {
        let good = match asked.request {
            Request::Masquerade(Egress::Off) => RuleState::Off,
            _ => RuleState::InPlace,
        };
        let state = failed.map_or(good, RuleState::Missing);
        let states = &mut self.filtered.states;
        let (rule, known) = match asked.request {
            Request::Masquerade(_) => {
                self.filtered.version = asked.version;
                ("masquerade", &mut states.masquerade)
            }
            Request::Ports => ("host ports", &mut states.ports),
            _ => ("source", &mut states.source),
        };
        if let RuleState::Missing(error) = &state
            && state != *known
        {
            actions.push(Action::Log(Notice::Missing { rule, error: error.clone() }));
        }
        *known = state;
    }

    /// Sends the next request unless one is under way. Publishes what has changed: a version at once, everything else
    /// when there is nothing left to do.
    fn proceed(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.due.put.take_if(|due| *due <= now).is_some() {
            self.put();
            self.restores = true;
        }
        self.needs.ports |= self.due.ports.take_if(|due| *due <= now).is_some();
        if self.under_way.is_none() {
            self.send(actions);
        }
        let asked = self.under_way.as_ref().map(|asked| &asked.request);
        let sets_come = self.needs.masquerade || matches!(asked, Some(Request::Masquerade(_)));
        let rules_come = sets_come
            || self.needs.source
            || self.needs.ports
            || matches!(asked, Some(Request::Source | Request::Ports));
        if !sets_come {
            self.filtered.version = self.version;
        }
        self.restores &= rules_come;
        let retry = if rules_come { self.due.retry } else { self.due.retry.or(Some(now + RETRY)) };
        self.due.retry = retry.filter(|_| self.filtered.states.is_missing());
        let is_new = self.filtered != self.published;
        if is_new && (asked.is_none() || self.filtered.version != self.published.version) {
            self.published = self.filtered.clone();
            actions.push(Action::Publish(self.published.clone()));
        }
    }

    fn send(&mut self, actions: &mut Vec<Action>) {
        let Some(request) = self.needs.next(&self.egress, self.accepts, self.forwarded.as_ref()) else { return };
        self.requests += 1;
        actions.push(Action::Ask(self.requests, request.clone()));
        self.under_way = Some(UnderWay { number: self.requests, request, version: self.version });
    }
}

#[cfg(test)]
mod tests;
