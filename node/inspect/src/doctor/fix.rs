//! Fixes what is safe to fix, with the same code as the plugin or the agent; never a route or a file of other programs.

pub mod pod_links;

use std::collections::BTreeSet;
use std::time::Duration;

use netlink::{Family, ForwardingError, Procfs, Socket, ensure_forwarding};

use super::finding::{Finding, Outcome, some};
use conditions::{Condition, Fix};
use facts::observe::{Places, observe};
use pods::forwarding::carry_out::carry_out as carry_out_change;
use pods::forwarding::observe::observe as observe_forwarding;
use pods::forwarding::{self, ForwardingState};
use pods::leases::{Stores, VisibleNetns};
use pods::mtu::{Followed, Whose, follow};
use state::control::{self, Command};

/// How long the agent may take to correct the routes.
const PATIENCE: Duration = Duration::from_millis(500);

/// The fixes that the outcomes need, each once.
pub fn due<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> BTreeSet<Fix> {
    let problems = outcomes.filter_map(|outcome| match outcome {
        Ok(Finding::Wrong(problems)) => Some(problems),
        _ => None,
    });
    problems.flatten().filter_map(|problem| problem.fix).collect()
}

/// Carries out one fix; returns what was done, or why it failed.
pub fn carry_out(fix: Fix, places: &Places) -> Result<String, String> {
    match fix {
        Fix::ForwardV4 => forward(Family::V4),
        Fix::ForwardV6 => forward(Family::V6),
        Fix::TakeBackLeases => take_back(places),
        Fix::PodMtu => pod_mtu(places),
        Fix::PodLinks => pod_links(places),
        Fix::WakeAgent => wake(places),
    }
}

fn forward(family: Family) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to switch {family} forwarding on: {error}");
    let mut host = Socket::open().map_err(|error| failed(&error))?;
    let procfs = Procfs::of_machine();
    let (seen, _) = observe_forwarding(&mut host, &procfs, family).map_err(|error| failed(&error))?;
    match forwarding::judge(family, seen) {
        ForwardingState::Off(off) => match off.change() {
            Ok(change) => carry_out_change(&mut host, &procfs, &change).map_err(|error| failed(&error))?,
            Err(loss) => return Err(failed(&ForwardingError::from(loss.clone()))),
        },
        // There is no pod yet.
        ForwardingState::Moot | ForwardingState::On => {
            ensure_forwarding(&mut host, &procfs, family).map_err(|error| failed(&error))?;
        }
    }
    Ok(format!("switched {family} forwarding on"))
}

fn take_back(places: &Places) -> Result<String, String> {
    let (mut gone, mut visible) = (Vec::new(), VisibleNetns::default());
    places.data_dirs.iter().for_each(|dir| Stores::below(dir.clone()).show(&mut visible));
    let mut failed = Vec::new();
    for dir in &places.data_dirs {
        let stores = Stores::below(dir.clone());
        failed.extend(stores.take_back(&mut visible, &mut |lease| gone.push(lease.address.ip().to_string())));
    }
    let taken = format!("took back the leases of {}", gone.join(", "));
    match failed.first() {
        None => Ok(taken),
        Some(error) if gone.is_empty() => Err(format!("failed to take dead leases back: {error}")),
        Some(error) => Err(format!("{taken}; failed to take others back: {error}")),
    }
}

fn pod_mtu(places: &Places) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to change the MTU of pods: {error}");
    let mut host = Socket::open().map_err(|error| failed(&error))?;
    let by_agent = || places.run_dir.read_state().ok()?.pod_mtus.last().copied();
    let wanted = netlink::inherited_mtu(&mut host, by_agent).map_err(|error| failed(&error))?.mtu;
    let stores: Vec<Stores> = places.data_dirs.iter().cloned().map(Stores::below).collect();
    let chosen = places.chosen_mtus().map_err(|error| failed(&error))?;
    let Followed { changed, kept } = follow(&stores, wanted, Whose::Any, &chosen).map_err(|error| failed(&error))?;
    match (changed.is_empty(), kept.is_empty()) {
        (_, false) => Err(format!("the MTU of pods is not {wanted} yet: {}", some(&kept))),
        (true, true) => Ok(format!("the MTU of pods is {wanted} already")),
        (false, true) => Ok(format!("set the MTU {wanted} on {}", some(&changed))),
    }
}

fn pod_links(places: &Places) -> Result<String, String> {
    let done = pod_links::put_back(&observe(places))?;
    if done.is_empty() { Ok("the links and routes of pods are there".to_owned()) } else { Ok(done.join("; ")) }
}

/// What is left of the problems after `--fix`: those that it should have fixed say what root of the node runs instead, and
/// do not recommend it again.
pub fn left(outcomes: Vec<(&'static str, Outcome)>) -> Vec<(&'static str, Outcome)> {
    let again = |problem: Condition| {
        if problem.fix.is_none() {
            return problem;
        }
        let command = problem.command.clone().filter(|command| !command.contains("doctor --fix"));
        let (cure, left) = match &command {
            Some(command) => (
                format!("as root of the node (not in the agent's container): {command}"),
                "this process could not, or it did not last",
            ),
            None => (
                "`not fixed` above says what prevents it: remove that cause".to_owned(),
                "this process could not, or it did not last",
            ),
        };
        let problem = Condition { fix: None, command: None, ..problem }.decided_by_a_person(cure).left_because(left);
        Condition { command, ..problem }
    };
    let outcome = |outcome: Outcome| match outcome {
        Ok(Finding::Wrong(problems)) => Ok(Finding::Wrong(problems.into_iter().map(again).collect())),
        other => other,
    };
    outcomes.into_iter().map(|(check, found)| (check, outcome(found))).collect()
}

fn wake(places: &Places) -> Result<String, String> {
    let socket = places.run_dir.control_socket();
    let answer = control::command(&socket, Command::Look);
    answer.map_err(|error| format!("failed to wake the agent at {}: {error} (is it running?)", socket.display()))?;
    std::thread::sleep(PATIENCE);
    Ok("woke the agent, which compares every route again".to_owned())
}
