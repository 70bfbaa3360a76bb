//! Converts the reconciler's state to `node.json` and `verdicts.json`.

use std::collections::BTreeMap;

use crate::Now;
use netlink::Family;
use nodes::Snapshot;
use routes::apply::Trouble;
use routes::guard::{Guard, Held};
use routes::reconcile::Reconciler;
use routes::verdict::{Ruling, Verdict};
use routes::{Key, Target};
use state::{HeldState, RouteCounts, State, VerdictLine};

/// Fills in the reconciler's state; the source and the warnings are not changed.
pub(crate) fn describe(reconciler: &Reconciler, me: &str, now: Now, state: &mut State) {
    state.beat(now.clocks);
    state.pod_cidrs = own(reconciler, me).filter_map(|verdict| verdict.cidr).map(|cidr| cidr.to_string()).collect();
    let mine = reconciler.in_force().nodes.iter().filter(|node| &*node.name == me);
    state.addresses = mine.flat_map(|node| node.addresses.iter().copied()).collect();
    state.v4 = counts(reconciler, Family::V4);
    state.v6 = counts(reconciler, Family::V6);
    state.verdicts = BTreeMap::new();
    for verdict in reconciler.verdicts() {
        *state.verdicts.entry(verdict.ruling.word().to_owned()).or_default() += 1;
    }
    state.held = match reconciler.guard() {
        Guard::Holding(held) => Some(held_state(held, now)),
        Guard::Open | Guard::Released => None,
    };
    state.reasons = unready(reconciler, me);
}

/// The verdicts as lines, each with the trouble of its route, if it has one.
pub(crate) fn lines(reconciler: &Reconciler) -> Vec<VerdictLine> {
    let line = |verdict: &Verdict| line(verdict, trouble(reconciler, verdict), wanted(reconciler, verdict));
    reconciler.verdicts().iter().map(line).collect()
}

fn line(verdict: &Verdict, trouble: Option<&Trouble>, wanted: Option<Target>) -> VerdictLine {
    let reason = match trouble {
        Some(Trouble::HeldByForeign(_)) => "held-by-foreign-route",
        Some(Trouble::Refused(_)) => "refused-by-kernel",
        None => verdict.ruling.reason(),
    };
    VerdictLine {
        node: verdict.node.to_string(),
        cidr: verdict.cidr.map_or_else(String::new, |cidr| cidr.to_string()),
        verdict: verdict.ruling.word().into(),
        reason: reason.into(),
        text: trouble.map_or_else(|| verdict.ruling.to_string(), |trouble| format!("{}, {trouble}", verdict.ruling)),
        wanted,
    }
}

fn trouble<'a>(reconciler: &'a Reconciler, verdict: &Verdict) -> Option<&'a Trouble> {
    reconciler.trouble(&key(verdict)?)
}

fn wanted(reconciler: &Reconciler, verdict: &Verdict) -> Option<Target> {
    reconciler.desired().get(&key(verdict)?).copied()
}

/// The key of a verdict's route, if it has one.
fn key(verdict: &Verdict) -> Option<Key> {
    let cidr = verdict.cidr?;
    match verdict.ruling {
        Ruling::Own | Ruling::Draining => Some(Key::own(cidr)),
        Ruling::Direct { .. } | Ruling::OnLink { .. } | Ruling::Router { .. } => Some(Key::peer(cidr)),
        Ruling::Kept(_) | Ruling::Skipped(_) => None,
    }
}

fn own<'a>(reconciler: &'a Reconciler, me: &str) -> impl Iterator<Item = &'a Verdict> {
    reconciler.verdicts().iter().filter(move |verdict| &*verdict.node == me && verdict.ruling == Ruling::Own)
}

fn counts(reconciler: &Reconciler, family: Family) -> RouteCounts {
    let mut counts = RouteCounts::default();
    for (key, target) in reconciler.desired().iter().filter(|(key, _)| family.holds(key.destination.ip())) {
        counts.desired += 1;
        counts.installed += usize::from(reconciler.observed().get(key) == Some(target));
        counts.failed += usize::from(reconciler.trouble(key).is_some());
    }
    // What is wanted does not shrink with a link.
    let of_family = |verdict: &&Verdict| verdict.cidr.is_some_and(|cidr| family.holds(cidr.ip()));
    let cut_off = reconciler.verdicts().iter().filter(of_family).filter(|verdict| verdict.ruling.is_cut_off()).count();
    counts.desired += cut_off;
    counts.failed += cut_off;
    counts
}

/// Why this node is not ready. A peer's trouble does not count: one faulty node must not take this one out of service.
pub(crate) fn unready(reconciler: &Reconciler, me: &str) -> Vec<String> {
    if !reconciler.has_decided() {
        return vec!["the routes are not planned yet: the kernel could not be read (see the agent's log)".to_owned()];
    }
    let missing = |verdict: &Verdict| {
        let key = key(verdict)?;
        let installed = reconciler.observed().get(&key) == reconciler.desired().get(&key);
        (!installed).then(|| match reconciler.trouble(&key) {
            Some(trouble) => format!("the unreachable route of {} is not in the kernel: {trouble}", key.destination),
            None => format!("the unreachable route of {} is not in the kernel", key.destination),
        })
    };
    let mut reasons: Vec<String> = own(reconciler, me).filter_map(missing).collect();
    if own(reconciler, me).next().is_none() {
        let why = reconciler.verdicts().iter().filter(|verdict| &*verdict.node == me);
        let why: Vec<String> = why.map(|verdict| verdict.ruling.to_string()).collect();
        reasons.push(match why.as_slice() {
            [] => unlisted(reconciler.in_force(), me),
            why => format!("{me} has no usable pod CIDR: {}", why.join("; ")),
        });
    }
    reasons
}

/// Why there is no node of this name.
fn unlisted(list: &Snapshot, me: &str) -> String {
    let faults = list.faults.join("; ");
    match (list.partial || !faults.is_empty(), list.nodes.len()) {
        (true, _) => format!("{me} is not in the part of the list of nodes that could be read: {faults}"),
        (false, 0) => format!("the list of nodes is empty, so {me} is not in it"),
        (false, count) => format!("no node is called {me} among the {count} of the list (is --node-name right?)"),
    }
}

fn held_state(held: Held, now: Now) -> HeldState {
    HeldState {
        withdraws: held.withdrawal.peers,
        of: held.withdrawal.of,
        until: now.clocks.unix + held.until.saturating_duration_since(now.at).as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use nodes::Node;
    use routes::guard::Limits;
    use routes::reconcile::Settings;

    #[test]
    fn the_name_of_the_node_is_doubted_only_where_the_whole_list_was_read() {
        let other = || vec![Node::of("n2", &["10.0.0.2"], &["10.244.2.0/24"])];
        let whole = Snapshot::new(other(), Instant::now());
        assert!(unlisted(&whole, "n1").contains("is --node-name right?"));
        let faults = vec!["n1.yaml:3: metadata.name is missing".to_owned()];
        let part = Snapshot { faults, partial: true, ..Snapshot::new(other(), Instant::now()) };
        let text = unlisted(&part, "n1");
        assert!(text.contains("n1.yaml:3") && !text.contains("--node-name"), "{text}");
        let empty = unlisted(&Snapshot::new(Vec::new(), Instant::now()), "n1");
        assert!(empty.contains("is empty") && !empty.contains("--node-name"), "{empty}");
    }

    #[test]
    fn a_node_without_verdicts_yet_is_not_taken_for_one_that_is_not_in_the_list() {
        let limits = Limits { share: 0.5, hold: Duration::from_secs(60) };
        let settings = Settings { me: "n1".into(), limits, by_routers: false };
        let list = Snapshot::new(vec![Node::of("n1", &["10.0.0.1"], &["10.244.1.0/24"])], Instant::now());
        let reasons = unready(&Reconciler::new(settings, list), "n1");
        assert!(matches!(&reasons[..], [one] if one.contains("not planned yet")), "{reasons:?}");
    }
}
