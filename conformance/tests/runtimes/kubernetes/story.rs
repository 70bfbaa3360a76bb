//! The story: one check after the other, each by its name, in a cluster that they share.

use std::io::Write as _;
use std::time::Instant;

use podlan_conformance::lab::{Error, Node};

use crate::containerd_2::parts::Parts;
use crate::kubernetes::checks::{self, Named};
use crate::kubernetes::cluster::{Cluster, control_plane};
use crate::kubernetes::global::{Global, no_cgroup_can_be_made};

/// Starts the cluster, makes all checks and says of each how long it took. The first that fails ends the story.
pub fn tell(parts: &Parts, story: &[Named]) -> Result<(), Error> {
    let before = Global::now()?;
    let began = Instant::now();
    podlan_conformance::lab::Lab::new(0)?;
    let first = Node::new(1)?;
    let server = control_plane(&first)?;
    say(began, "ok", "a control plane starts");
    let mut cluster = Cluster::start(&server, parts)?;
    let only = std::env::var("PODLAN_CHECKS").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|word| name.contains(word));
    for (name, check) in checks::FIRST.iter().chain(story.iter().filter(|(name, _)| wanted(name))) {
        let began = Instant::now();
        let done = check(&mut cluster);
        say(began, if done.is_ok() { "ok" } else { "FAILED" }, name);
        if done.is_err() {
            cluster.explain();
            done?;
        }
    }
    let began = Instant::now();
    cluster.machines.iter().try_for_each(|machine| no_cgroup_can_be_made(&machine.node))?;
    drop(cluster);
    Global::now()?.is_as(&before)?;
    say(began, "ok", "no sysctl, module parameter or cgroup of the machine has changed");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is shown as it happens")]
fn say(began: Instant, how: &str, what: &str) {
    println!("{how:<6} {:>6.1} s  {what}", began.elapsed().as_secs_f64());
    std::io::stdout().flush().ok();
}

/// A number or a name that a check wants told.
#[expect(clippy::print_stdout, reason = "it is shown as it happens")]
pub fn note(what: &str) {
    println!("                 {what}");
}

/// What is known when a check has failed.
#[expect(clippy::print_stderr, reason = "it is what one looks for")]
pub fn tell_all(what: &str) {
    eprintln!("{what}");
}
