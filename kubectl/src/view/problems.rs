//! Conditions of many nodes, those of one kind together: the worst first. Pure.

use std::collections::BTreeMap;

use conditions::{Condition, Kind, Severity};
use serde::Serialize;
use state::ago::for_how_long;

use crate::cluster::names;

/// How many nodes of one kind are named, unless all are asked for.
const NAMED: usize = 8;

/// The conditions of one kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Group<'a> {
    kind: Kind,
    severity: Severity,
    /// Each condition, with its node; sorted as the nodes are.
    conditions: Vec<OfNode<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct OfNode<'a> {
    node: &'a str,
    #[serde(flatten)]
    condition: &'a Condition,
}

/// Groups them, the worst kind first, and of equals in the order of their names.
pub(crate) fn groups<'a>(all: impl IntoIterator<Item = (&'a str, &'a Condition)>) -> Vec<Group<'a>> {
    let mut kinds: BTreeMap<&str, Vec<OfNode<'a>>> = BTreeMap::new();
    for (node, condition) in all {
        kinds.entry(condition.kind.name()).or_default().push(OfNode { node, condition });
    }
    let mut groups: Vec<Group<'a>> = kinds
        .into_values()
        .filter_map(|conditions| {
            let kind = conditions.first()?.condition.kind;
            let severity = conditions.iter().map(|of| of.condition.severity).max()?;
            Some(Group { kind, severity, conditions })
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.severity));
    groups
}

/// Whether one of them is as bad as this.
pub(crate) fn has(groups: &[Group<'_>], severity: Severity) -> bool {
    groups.iter().any(|group| group.severity >= severity)
}

/// How many conditions there are of each severity: `1 critical, 2 warning`.
pub(crate) fn counts(groups: &[Group<'_>]) -> String {
    let mut counts: BTreeMap<std::cmp::Reverse<Severity>, usize> = BTreeMap::new();
    for of in groups.iter().flat_map(|group| &group.conditions) {
        *counts.entry(std::cmp::Reverse(of.condition.severity)).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(severity, count)| format!("{count} {}", severity.0.name())).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// The groups for people, at `now` (seconds since 1970).
pub(crate) fn text(groups: &[Group<'_>], all: bool, now: u64) -> String {
    groups.iter().map(|group| group.text(all, now)).collect()
}

impl Group<'_> {
    fn text(&self, all: bool, now: u64) -> String {
        let first = |field: fn(&Condition) -> &str| {
            let mut texts = self.conditions.iter().map(|of| field(of.condition));
            let one = texts.next().unwrap_or_default();
            texts.all(|text| text == one).then_some(one)
        };
        let nodes: Vec<String> = {
            let mut nodes: Vec<String> = self.conditions.iter().map(|of| of.node.to_owned()).collect();
            nodes.dedup();
            nodes
        };
        let mut text = format!("WRONG     {} ({}) on {}\n", self.kind.name(), self.severity.name(), names(&nodes));
        let shown = if all { self.conditions.len() } else { NAMED };
        let (why, fix) = (first(|condition| &condition.why), first(|condition| &condition.cure));
        for OfNode { node, condition } in self.conditions.iter().take(shown) {
            let since = for_how_long(condition.since, now).map(|age| format!(", for {age}")).unwrap_or_default();
            text += &format!("          {node}{since}: {}\n", condition.wrong);
            if why.is_none() {
                text += &format!("            why: {}\n", condition.why);
            }
            if fix.is_none() {
                text += &format!("            fix: {}\n", condition.cure);
            }
        }
        if let Some(more @ 1..) = self.conditions.len().checked_sub(shown) {
            text += &format!("          and {more} more (--all)\n");
        }
        text.extend(why.map(|why| format!("          why: {why}\n")));
        text.extend(fix.map(|fix| format!("          fix: {fix}\n")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_kind_is_first_and_what_all_of_a_kind_share_is_said_once() {
        let lost = |peer: &str| Condition::new(Kind::PeerNotRouted, peer, format!("no route to {peer}"));
        let info = Condition::new(Kind::NodeMalformed, "x", "odd");
        let conditions = [("node1", info), ("node1", lost("node2")), ("node2", lost("node1").cured_by("ip route add"))];
        let groups = groups(conditions.iter().map(|(node, condition)| (*node, condition)));
        let text = text(&groups, false, 0);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "WRONG     peer-not-routed (critical) on node1, node2");
        assert_eq!(lines[1], "          node1: no route to node2");
        assert!(lines[2].starts_with("            fix: podlan-node status"));
        assert_eq!(lines[4], "            fix: ip route add");
        assert!(lines[5].starts_with("          why: pods of that node are unreachable"));
        assert!(lines[6].starts_with("WRONG     node-malformed (warning) on node1"));
        assert_eq!(counts(&groups), "2 critical, 1 warning");
        assert!(has(&groups, Severity::Critical) && !has(&groups[1..], Severity::Critical));
    }

    #[test]
    fn of_many_nodes_a_few_are_named() {
        let condition = Condition::new(Kind::AgentNotReady, "", "it starts");
        let nodes: Vec<String> = (0..1000).map(|number| format!("node{number}")).collect();
        let groups = groups(nodes.iter().map(|node| (node.as_str(), &condition)));
        assert!(text(&groups, false, 0).lines().count() < 14);
        assert!(text(&groups, false, 0).contains("and 992 more (--all)"));
        assert!(text(&groups, true, 0).lines().count() > 1000);
    }
}
