//! What the agent publishes of itself: the state, which says last what everything else came to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::action::{Inner, Publication};
use super::known::Known;
use super::previous_agent::PreviousAgent;
use super::warnings::{self, Warning};
use super::{Action, Now, conditions, journal};
use crate::describe::{describe, lines};
use filter::RuleState;
use nodes::Snapshot;
use routes::reconcile::Reconciler;
use source::object;
use state::{State, VerdictLine};

/// How long readiness waits for the configuration, and for the look at the files that shows whether the pools are this
/// node's.
pub(super) const FILES: Duration = Duration::from_secs(2);

/// The state, and what stands in its stead for a while.
pub(super) struct Published {
    pub(super) state: State,
    /// Until this agent knows better.
    previous_agent: Option<PreviousAgent>,
    /// Until when the first look at the files is waited for.
    patient_until: Instant,
    /// A digest of the nodes that were filed last.
    filed_nodes: Option<u64>,
    verdicts: Option<Arc<Vec<VerdictLine>>>,
}

impl Published {
    pub(super) fn new(state: State, previous_agent: Option<PreviousAgent>, now: Instant) -> Self {
        Self { state, previous_agent, patient_until: now + FILES, filed_nodes: None, verdicts: None }
    }

    /// Files what the nodes have, for the next agent: a node may lose it while none runs.
    fn file_nodes(&mut self, snapshot: &Snapshot, actions: &mut Vec<Action>) {
        let mut hasher = DefaultHasher::new();
        for node in &snapshot.nodes {
            (&node.name, &node.uid, &node.addresses, &node.pod_cidrs).hash(&mut hasher);
        }
        let now = Some(hasher.finish());
        if self.filed_nodes != now
            && let Ok(list) = serde_json::to_vec(&object::NodeList(&snapshot.nodes))
        {
            actions.push(Action::NodeList(list));
            self.filed_nodes = now;
        }
    }
}

impl Known {
    /// Publishes the verdicts of the last decision.
    pub(super) fn publish_verdicts(&mut self, reconciler: &Reconciler, actions: &mut Vec<Action>) {
        let lines = lines(reconciler);
        if self.published.verdicts.as_deref() != Some(&lines) {
            let lines = Arc::new(lines);
            self.published.verdicts = Some(lines.clone());
            actions.push(Action::Verdicts(lines));
        }
        self.published.file_nodes(reconciler.in_force(), actions);
    }

    /// Publishes how everything stands before the routes are decided.
    pub(super) fn publish_beginning(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.take_conditions(now);
        self.warn(self.own_warnings());
        self.publish(false, now, actions);
    }

    /// Publishes how everything stands.
    pub(super) fn describe(&mut self, reconciler: &Reconciler, now: Now, actions: &mut Vec<Action>) {
        let was_ready = self.published.state.ready;
        let was_held = self.published.state.held.clone();
        describe(reconciler, &self.settings.me, now, &mut self.published.state);
        self.published.state.routed |= self.published.state.reasons.is_empty();
        self.judge_readiness(now);
        self.published.state.former_mtu_pods = self.parts.former_mtus.len();
        self.published.state.paths = self.parts.probed.paths.clone();
        let states = &self.parts.filtered.states;
        self.published.state.masquerade = masquerade(&states.masquerade).to_owned();
        self.published.state.forward_drops = warnings::dropping(states).count();
        self.take_conditions(now);
        self.warn(self.warnings(reconciler));
        let state = &self.published.state;
        if was_ready != state.ready {
            tracing::info!(ready = state.ready, reasons = state.reasons.join("; "), "readiness");
        }
        journal::held(was_held.as_ref(), self.published.state.held.as_ref());
        self.publish(true, now, actions);
    }

    /// The node is ready once its own routes are in, its configuration is written, and its pools are known to be its own.
    fn judge_readiness(&mut self, now: Now) {
        let Published { state, previous_agent, patient_until, .. } = &mut self.published;
        if self.parts.files.as_ref().is_some_and(|files| files.routed) || now.at > *patient_until {
            *previous_agent = None;
        } else {
            state.reasons.push("the pools of this node were not looked at yet".to_owned());
        }
        let grave = self.parts.files.iter().flat_map(|files| &files.dangers.grave);
        state.reasons.extend(grave.cloned());
        state.ready = state.reasons.is_empty();
    }

    fn take_conditions(&mut self, now: Now) {
        let state = &mut self.published.state;
        conditions::follow(&mut state.conditions, &self.parts.found.conditions, now.clocks.unix);
        state.unknown.clone_from(&self.parts.found.unknown);
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        let state = &mut self.published.state;
        state.repeated_warnings = warnings::repeated(&warnings, &state.conditions);
        state.warnings = warnings.into_iter().map(|warning| warning.text).collect();
    }

    fn publish(&self, is_decided: bool, now: Now, actions: &mut Vec<Action>) {
        let Published { state, previous_agent, .. } = &self.published;
        let parts = &self.parts;
        actions.push(Action::Publish(Box::new(Publication {
            state: state.clone(),
            is_filed: !previous_agent.as_ref().is_some_and(|previous| previous.is_ready(now.clocks)),
            dangers: parts.files.as_ref().map(|files| files.dangers.clone()).unwrap_or_default(),
            lease_counts: parts.lease_counts.clone(),
            drops: parts.filtered.drops,
            forwarding: is_decided.then(|| parts.forwarding.clone()),
            probes: parts.probed.counts,
            inner: Inner { unreadable: self.kernel.unreadable, part_troubles: parts.troubles.len() },
        })));
    }
}

/// As the state says it.
fn masquerade(rule: &RuleState) -> &'static str {
    match rule {
        RuleState::Off => "off",
        RuleState::InPlace => "on",
        RuleState::Unknown => "unknown",
        RuleState::Missing(_) => "failed",
    }
}
