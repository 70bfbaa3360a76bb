//! What an operator should know, and what of it a condition says too: people read each fault once.

use conditions::{Condition, Kind};
use filter::{RuleState, RuleStates};
use nodes::Snapshot;
use routes::reconcile::Reconciler;

use super::known::Known;
use super::pod_mtu;

/// How many kept values are listed one by one.
const WARNED: usize = 20;

/// A warning of `node.json`.
#[derive(Debug)]
pub(super) struct Warning {
    pub(super) text: String,
    /// The conditions of these kinds say the same where the warning names their subject.
    kinds: &'static [Kind],
}

impl Warning {
    fn is_said_by(&self, condition: &Condition) -> bool {
        self.kinds.contains(&condition.kind) && self.text.contains(&condition.subject)
    }
}

/// The warnings that one of the conditions says too.
pub(super) fn repeated(warnings: &[Warning], conditions: &[Condition]) -> Vec<String> {
    let said = warnings.iter().filter(|warning| conditions.iter().any(|condition| warning.is_said_by(condition)));
    said.map(|warning| warning.text.clone()).collect()
}

fn of(kinds: &'static [Kind], texts: impl IntoIterator<Item = String>) -> impl Iterator<Item = Warning> {
    texts.into_iter().map(move |text| Warning { text, kinds })
}

impl Known {
    /// Of the pods first, of the agent itself last.
    pub(super) fn warnings(&self, reconciler: &Reconciler) -> Vec<Warning> {
        let parts = &self.parts;
        let states = &parts.filtered.states;
        let files = || parts.files.iter();
        let source = missing(&states.source, "pods can forge their source address, the rule is missing");
        let masquerade = missing(&states.masquerade, "egress is not masqueraded as it should be");
        let ports = missing(&states.ports, "host ports of pods may not be in place");
        of(&[Kind::SourceRuleMissing, Kind::KernelPartMissing], source)
            .chain(of(&[Kind::ForwardDrop], dropping(states)))
            .chain(of(&[Kind::HostPortsMissing, Kind::KernelPartMissing], ports))
            .chain(of(&[Kind::KernelNatMissing, Kind::KernelPartMissing], masquerade))
            .chain(of(&[Kind::ForwardingOff], parts.forwarding.warnings.iter().cloned()))
            .chain(of(&[Kind::PoolOutside], files().flat_map(|files| files.dangers.slight.iter().cloned())))
            .chain(of(
                &[Kind::ConflistNotFirst, Kind::ConflistUnreadable],
                files().flat_map(|files| files.warnings.iter().cloned()),
            ))
            .chain(of(&[Kind::StoreUnreadable, Kind::StoreLocked], parts.lease_counts.warnings.iter().cloned()))
            .chain(of(&[], kept_values(reconciler.in_force())))
            .chain(of(&[Kind::PodMtu], pod_mtu::former(&parts.former_mtus)))
            .chain(of(&[Kind::KernelPartMissing], parts.probed.warnings.iter().cloned()))
            .chain(of(&[], self.kernel.left_out()))
            .chain(self.own_warnings())
            .collect()
    }

    /// What is wrong with the agent itself.
    pub(super) fn own_warnings(&self) -> Vec<Warning> {
        let (failed, troubles) = (&self.parts.written.failed, &self.parts.troubles);
        let texts = failed.iter().cloned().chain(self.kernel.warnings()).chain(troubles.iter().cloned());
        of(&[], texts).collect()
    }
}

fn missing(rule: &RuleState, so: &str) -> Option<String> {
    match rule {
        RuleState::Missing(why) => Some(format!("{so}: {why}")),
        RuleState::Off | RuleState::InPlace | RuleState::Unknown => None,
    }
}

/// The chains of others that are certain to drop traffic between pods.
pub(super) fn dropping(states: &RuleStates) -> impl Iterator<Item = String> {
    states.forward.iter().filter(|finding| finding.certain).map(ToString::to_string)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_repeated_where_a_condition_of_its_kind_is_of_what_it_names() {
        let texts = ["IPv4 forwarding is off", "IPv6 forwarding is off"].map(str::to_owned);
        let warnings: Vec<Warning> =
            of(&[Kind::ForwardingOff], texts).chain(of(&[], ["IPv4 is odd".to_owned()])).collect();
        let off = Condition::new(Kind::ForwardingOff, "IPv4", "IPv4 forwarding is off");
        assert_eq!(repeated(&warnings, &[off]), ["IPv4 forwarding is off"]);
        assert_eq!(repeated(&warnings, &[Condition::new(Kind::PodMtu, "IPv4", "")]), [""; 0]);
    }
}
