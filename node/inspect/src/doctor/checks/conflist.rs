//! Does the runtime use podlan's configuration, and is there only one of each network?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::{Configuration, Facts};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let files = facts.configurations()?;
    let mut problems = Vec::new();
    let Some(first) = files.iter().position(|file| file.podlan().is_some()) else {
        if !facts.has_conf_dir && !is_to_be_written(facts) {
            return Ok(Finding::moot(
                "the runtime's configuration directory does not exist (doctor --cni-conf-dir names another), and no agent \
                 runs with --cni-conf-dir",
            ));
        }
        if is_not_used(facts) {
            return Ok(Finding::moot(
                "no network configuration names podlan; the agent runs without --cni-conf-dir, and podlan has no pods \
                 here",
            ));
        }
        return Ok(Finding::Wrong(vec![
            Condition::new(Kind::ConflistMissing, "", "no network configuration names podlan").decided_by_a_person(
                "an agent with --cni-conf-dir writes one once its routes are in the kernel (check agent); else write \
                 one: docs/hosts.md, section 1",
            ),
        ]));
    };
    let ours = &files[first];
    let mut fine = format!("{} comes first by name", ours.file);
    for winner in &files[..first] {
        match winner.delegates_to(ours) {
            Some(true) => {
                fine = format!("{} (Multus) comes first by name and hands pods to {}", winner.file, ours.file);
                continue;
            }
            Some(false) => {
                problems.push(elsewhere(winner, ours));
                continue;
            }
            None => {}
        }
        let broken = match (&winner.unread, &winner.json) {
            (Some(why), _) => format!(", which cannot be read: {why}"),
            (None, None) => ", which is not JSON".to_owned(),
            (None, Some(_)) => String::new(),
        };
        problems.push(
            Condition::new(
                Kind::ConflistNotFirst,
                winner.file.as_str(),
                format!("{}{broken} comes before {} by name", winner.file, ours.file),
            )
            .decided_by_a_person(format!(
                "if podlan is to be this node's network, move {} away; podlan never changes it",
                winner.file
            )),
        );
    }
    for file in &files[first..] {
        let Some(why) = &file.unread else { continue };
        problems.push(
            Condition::new(
                Kind::ConflistUnreadable,
                file.file.as_str(),
                format!("{} cannot be read: {why}", file.file),
            )
            .decided_by_a_person(format!("if podlan is to be this node's network, move {} away", file.file)),
        );
    }
    let of_podlan = || files[first..].iter().filter(|file| file.podlan().is_some());
    for (index, file) in of_podlan().enumerate() {
        if let Some(twin) = of_podlan().take(index).find(|other| other.network() == file.network()) {
            problems.push(second(twin, file));
        }
    }
    Ok(Finding::of(problems, fine))
}

/// Whether the agent maintains routes alone: others make the pods of this node.
fn is_not_used(facts: &Facts) -> bool {
    let has_agent = facts.said().is_ok_and(|said| said.is_some());
    has_agent && !is_to_be_written(facts) && facts.leases().is_ok_and(|leases| leases.all.is_empty())
}

fn is_to_be_written(facts: &Facts) -> bool {
    facts.said().ok().flatten().is_some_and(|said| said.state.configured_paths.cni_conf_dir.is_some())
}

/// Multus comes first, and hands pods to another network.
fn elsewhere(multus: &Configuration, ours: &Configuration) -> Condition {
    Condition::new(
        Kind::ConflistNotFirst,
        multus.file.as_str(),
        format!("{} (Multus) comes first by name, and its default network is not that of {}", multus.file, ours.file),
    )
    .because("pods get the other network, or none")
    .decided_by_a_person(format!(
        "if podlan is to be this node's network, name {} as Multus' default network (clusterNetwork, or the first of its \
         delegates; Multus writes that file again when it starts)",
        ours.file
    ))
}

fn second(first: &Configuration, second: &Configuration) -> Condition {
    Condition::new(
        Kind::ConflistTwice,
        second.file.as_str(),
        format!("{} and {} both configure the network {}", first.file, second.file, second.network()),
    )
    .because(
        "the runtime takes the first; when that file is removed, pods get the other configuration, which is not kept \
         up to date",
    )
    .decided_by_a_person(format!(
        "decide which of the two is meant; if it is {}, move {} away",
        first.file, second.file
    ))
}
