//! Carries out the core's actions: to the parts, to the kernel, to the readers of what is published. The outcome of kernel work
//! goes back to the core before the next action.

use std::collections::VecDeque;

use super::{Agent, host_kernel, now, previous};
use agent_core::{Action, Event, Publication, TurnCounts};

impl Agent {
    /// Delivers events that came together, and does all that follows.
    pub(super) fn deliver(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut actions: VecDeque<Action> = VecDeque::new();
        for event in events {
            actions.extend(self.core.on(event, now()));
        }
        while let Some(action) = actions.pop_front() {
            if let Some(outcome) = self.carry_out(action) {
                let follows = self.core.on(outcome, now());
                follows.into_iter().rev().for_each(|action| actions.push_front(action));
            }
        }
    }

    /// Returns the outcome, where it is known at once.
    fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Turn => return self.kernel.turn(&mut self.core).map(Event::Turned),
            Action::AskMtu(of_nodes) => return Some(Event::Mtu(host_kernel::mtu(of_nodes))),
            Action::AskSources => return Some(Event::Sources(self.kernel.sources())),
            Action::ReadPreviousList(taken) => {
                let (list, answer) = (previous::list(self.run_dir.clone(), taken), self.previous_list.0.clone());
                // It is not waited for any more where the agent ends.
                tokio::spawn(async move { answer.send(list.await).await });
            }
            Action::Filter(wanted) => drop(self.desk.wanted.send_replace(wanted)),
            Action::Leases(asked) => drop(self.desk.asked.send_replace(asked)),
            Action::Files(position) => drop(self.desk.position.send_replace(Some(position))),
            Action::PodMtus(mtus) => drop(self.desk.mtus_asked.send_replace(mtus)),
            Action::Probe(wanted) => drop(self.desk.probes.send_replace(Some(wanted))),
            Action::Refresh => self.desk.refresh.notify_one(),
            Action::Answer(text) => {
                if let Some(reply) = self.reply.take() {
                    // A client that hung up needs no answer.
                    let _ = reply.send(text.to_owned());
                }
            }
            Action::CountSourceError => drop(self.metrics.source_errors.inc()),
            Action::CountTurn(TurnCounts { changes, heals, took }) => {
                self.metrics.changes.inc_by(changes);
                self.metrics.heals.inc_by(heals);
                self.metrics.reconcile.observe(took.as_secs_f64());
            }
            Action::Verdicts(lines) => {
                self.metrics.set_verdicts(&lines);
                self.desk.verdicts.send_replace(lines.clone());
                self.desk.state_files.verdicts.put(lines);
            }
            Action::NodeList(list) => self.desk.state_files.nodes.put(list),
            Action::Publish(publication) => self.publish(*publication),
        }
        None
    }

    fn publish(&self, publication: Publication) {
        let Publication { state, is_filed, dangers, lease_counts, drops, forwarding, probes, inner } = publication;
        self.metrics.set_probes(probes);
        if let Some(drops) = drops {
            self.metrics.set_drops(drops);
        }
        if let Some(forwarding) = forwarding {
            self.metrics.set_forwarding(&forwarding);
        }
        self.metrics.set_state(&state, &dangers, &lease_counts, inner);
        self.published.send_replace(state.clone());
        if is_filed {
            self.desk.state_files.state.put(state);
        }
    }
}
