//! What the agent publishes of itself: the state, which says last what everything else came to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::action::Publication;
use super::known::Known;
use super::previous_agent::PreviousAgent;
use super::{Action, Now, pod_mtu};
use crate::describe::{describe, lines};
use crate::metrics::Inner;
use filter::{RuleState, RuleStates};
use nodes::Snapshot;
use routes::reconcile::Reconciler;
use source::object;
use state::State;

/// How long readiness waits for the configuration, and for the look at the files that shows whether the pools are this
/// node's.
pub(super) const FILES: Duration = Duration::from_secs(2);

/// How many kept values are listed one by one.
const WARNED: usize = 20;

/// The state, and what stands in its stead for a while.
pub(super) struct Published {
    pub(super) state: State,
    /// Until this agent knows better.
    previous_agent: Option<PreviousAgent>,
    /// Until when the first look at the files is waited for.
    patient_until: Instant,
    /// A digest of the nodes that were filed last.
    filed_nodes: Option<u64>,
}

impl Published {
    pub(super) fn new(state: State, previous_agent: Option<PreviousAgent>, now: Instant) -> Self {
        Self { state, previous_agent, patient_until: now + FILES, filed_nodes: None }
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
        actions.push(Action::Verdicts(lines(reconciler)));
        self.published.file_nodes(reconciler.in_force(), actions);
    }

    /// Publishes how everything stands before the routes are decided.
    pub(super) fn publish_beginning(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.published.state.warnings = self.own_warnings();
        self.publish(false, now, actions);
    }

    /// Publishes how everything stands.
    pub(super) fn describe(&mut self, reconciler: &Reconciler, now: Now, actions: &mut Vec<Action>) {
        let was_ready = self.published.state.ready;
        describe(reconciler, &self.settings.me, now, &mut self.published.state);
        self.published.state.routed |= self.published.state.reasons.is_empty();
        self.judge_readiness(now);
        self.published.state.former_mtu_pods = self.parts.former_mtus.len();
        let (masquerade, dropping) =
            (masquerade(&self.parts.filtered.states.masquerade), dropping(&self.parts.filtered.states));
        self.published.state.masquerade = masquerade.to_owned();
        self.published.state.forward_drops = dropping.len();
        self.published.state.warnings = self.warnings(reconciler, dropping);
        let state = &self.published.state;
        if was_ready != state.ready {
            tracing::info!(ready = state.ready, reasons = state.reasons.join("; "), "readiness");
        }
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

    /// Of the pods first, of the agent itself last.
    fn warnings(&self, reconciler: &Reconciler, dropping: Vec<String>) -> Vec<String> {
        let states = &self.parts.filtered.states;
        let mut warnings = Vec::new();
        if let RuleState::Missing(why) = &states.source {
            warnings.push(format!("pods can forge their source address, the rule is missing: {why}"));
        }
        warnings.extend(dropping);
        if let RuleState::Missing(why) = &states.masquerade {
            warnings.push(format!("egress is not masqueraded as it should be: {why}"));
        }
        warnings.extend(self.parts.forwarding.warnings.iter().cloned());
        let files = self.parts.files.iter();
        warnings.extend(files.flat_map(|files| files.dangers.slight.iter().chain(&files.warnings)).cloned());
        warnings.extend(self.parts.lease_counts.warnings.iter().cloned());
        warnings.extend(kept_values(reconciler.in_force()));
        warnings.extend(pod_mtu::former(&self.parts.former_mtus));
        warnings.extend(self.kernel.left_out());
        warnings.extend(self.own_warnings());
        warnings
    }

    /// What is wrong with the agent itself.
    fn own_warnings(&self) -> Vec<String> {
        let (failed, troubles) = (&self.parts.written.failed, &self.parts.troubles);
        failed.iter().cloned().chain(self.kernel.warnings()).chain(troubles.iter().cloned()).collect()
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

/// The chains of others that are certain to drop traffic between pods.
fn dropping(states: &RuleStates) -> Vec<String> {
    states.forward.iter().filter(|finding| finding.certain).map(ToString::to_string).collect()
}

/// What is kept of the nodes, as warnings.
fn kept_values(snapshot: &Snapshot) -> Vec<String> {
    let kept = || snapshot.nodes.iter().flat_map(|node| node.kept.iter().map(move |kept| (&node.name, kept)));
    let mut warnings: Vec<String> = kept()
        .take(WARNED)
        .map(|(name, kept)| format!("{name} has {kept} (podlan-node release-withdrawal forgets it)"))
        .collect();
    let others = kept().count() - warnings.len();
    if others > 0 {
        warnings.push(format!("{others} more addresses and pod CIDRs are kept that the list of nodes lacks"));
    }
    warnings
}
