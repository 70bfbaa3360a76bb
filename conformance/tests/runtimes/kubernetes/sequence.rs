//! The sequence of checks: one after the other, each with its name, in a cluster that they share.

use std::io::Write as _;
use std::time::Instant;

use podlan_conformance::lab::{Error, Node};

use crate::containerd_2::parts::Parts;
use crate::kubernetes::checks::{self, Named};
use crate::kubernetes::cluster::{Cluster, control_plane};
use crate::kubernetes::global::{Global, no_cgroup_can_be_made};

/// Starts the cluster, runs all checks and prints how long each took. The first failure ends the run.
pub fn run(parts: &Parts, selected: &[Named]) -> Result<(), Error> {
    let before = Global::now()?;
    let began = Instant::now();
    podlan_conformance::lab::Lab::new(0)?;
    let first = Node::new(1)?;
    let server = control_plane(&first)?;
    print(began, "ok", "a control plane starts");
    let mut cluster = Cluster::start(&server, parts)?;
    let only = std::env::var("PODLAN_CHECKS").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|part| name.contains(part));
    for (name, check) in checks::FIRST.iter().chain(selected.iter().filter(|(name, _)| wanted(name))) {
        let began = Instant::now();
        let done = check(&mut cluster);
        print(began, if done.is_ok() { "ok" } else { "FAILED" }, name);
        if done.is_err() {
            cluster.explain();
            done?;
        }
    }
    let began = Instant::now();
    cluster.machines.iter().try_for_each(|machine| no_cgroup_can_be_made(&machine.node))?;
    drop(cluster);
    Global::now()?.is_as(&before)?;
    print(began, "ok", "no sysctl, module parameter or cgroup of the machine has changed");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is shown as it happens")]
fn print(began: Instant, how: &str, what: &str) {
    println!("{how:<6} {:>6.1} s  {what}", began.elapsed().as_secs_f64());
    std::io::stdout().flush().ok();
}

/// Prints a figure or a name of a check.
#[expect(clippy::print_stdout, reason = "it is shown as it happens")]
pub fn note(what: &str) {
    println!("                 {what}");
}

/// Prints the state when a check has failed.
#[expect(clippy::print_stderr, reason = "it explains the failure")]
pub fn print_error(what: &str) {
    eprintln!("{what}");
}
