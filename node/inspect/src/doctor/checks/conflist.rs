//! Does the runtime use podlan's configuration, and is there only one of each network?

use super::super::finding::{Finding, Outcome, Problem};
use facts::{Configuration, Facts};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let files = facts.configurations()?;
    let mut problems = Vec::new();
    let Some(first) = files.iter().position(|file| file.podlan().is_some()) else {
        return Ok(Finding::Wrong(vec![Problem::new(
            "no network configuration names podlan",
            "the runtime creates no pods with podlan on this node",
            "the agent writes one once its routes are in the kernel (run --cni-conf-dir): see the check `agent`; or \
             write one, README, \
             \"Use it with containerd\"",
        )]));
    };
    let ours = &files[first];
    for winner in &files[..first] {
        let broken = match (&winner.unread, &winner.json) {
            (Some(why), _) => format!(", which cannot be read: {why}"),
            (None, None) => ", which is not JSON".to_owned(),
            (None, Some(_)) => String::new(),
        };
        problems.push(Problem::new(
            format!("{}{broken} comes before {} by name", winner.file, ours.file),
            "containerd and CRI-O take the first file by name: pods get the other network, or none",
            format!("if podlan is to be this node's network, move {} away; podlan never changes it", winner.file),
        ));
    }
    for file in &files[first..] {
        let Some(why) = &file.unread else { continue };
        problems.push(Problem::new(
            format!("{} cannot be read: {why}", file.file),
            "a runtime that reads it hangs or refuses all networks",
            format!("remove {}", file.file),
        ));
    }
    let of_podlan = || files[first..].iter().filter(|file| file.podlan().is_some());
    for (index, file) in of_podlan().enumerate() {
        if let Some(twin) = of_podlan().take(index).find(|other| other.network() == file.network()) {
            problems.push(second(twin, file));
        }
    }
    Ok(Finding::of(problems, format!("{} comes first by name", ours.file)))
}

fn second(first: &Configuration, second: &Configuration) -> Problem {
    Problem::new(
        format!("{} and {} both configure the network {}", first.file, second.file, second.network()),
        "the runtime takes the first; when that file is removed, pods get the other configuration, which is not kept \
         up to date",
        format!("move {} away", second.file),
    )
}
