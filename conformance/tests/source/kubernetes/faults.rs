//! A server that fails in any way costs no route and no memory, is named in the agent's state, metrics and log, and is
//! followed again once it works.
//!
//! ```text
//!   node1 (agent ── 127.0.0.1 ── API server that fails) ──┬── node2, node3
//!                                                                   lan
//! ```

use std::time::Duration;

use podlan_conformance::agent::{METRICS, metric, routes_to, state, state_text as said};
use podlan_conformance::lab::{Error, Lab, Running, eventually, within};

use super::agent;
use super::fault::Fault;
use super::server::{Lists, Server};

/// A silent server is noticed after half a minute, and the agent's next attempt may follow another half a minute later.
const LATE: Duration = Duration::from_secs(120);

/// Whatever the server does, the agent's memory grows by no more than this, in KiB.
const MORE: u64 = 32 << 10;

/// Whether all faults are tested, including silent ones: scripts/torture.
fn long() -> bool {
    std::env::var_os("PODLAN_TORTURE").is_some()
}

fn peak(agent: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.unwrap_or(u64::MAX)
}

/// One fault after the other: it occurs twice and is named, the routes stay, and changes meanwhile are applied
/// afterwards.
fn outlives(lists: Lists, faults: &[(Fault, &str)]) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, three] = lab.these();
    let server = Server::start(one, lists)?;
    server.put(one.as_kubernetes());
    server.put(two.as_kubernetes());
    let mut agent = agent(one, &server, &["--listen", &METRICS.to_string()])?;
    routes_to(one, &[two])?;
    let before = peak(&agent);
    for (number, (fault, named)) in faults.iter().enumerate() {
        let report = |agent: &Running| format!("{lists:?}, {fault:?}: {}\n{}", said(one), agent.stderr());
        let (now, next) = if number % 2 == 0 { (vec![two], vec![two, three]) } else { (vec![two, three], vec![two]) };
        server.fails(Some(*fault));
        eventually(LATE, &format!("{fault:?} is named, as {named:?}"), || {
            let error = state(one)["source"]["error"].as_str().unwrap_or_default().to_owned();
            if server.met() > 0 && error.contains(named) { Ok(()) } else { Err(report(&agent)) }
        })?;
        assert_eq!(metric(one, "podlan_node_source_failing"), Ok(1), "{}", report(&agent));
        // The log is written by another thread.
        eventually(LATE, "the log names it", || match agent.stderr().contains(named) {
            true => Ok(()),
            false => Err(report(&agent)),
        })?;
        routes_to(one, &now)?;
        match number % 2 {
            0 => server.put(three.as_kubernetes()),
            _ => server.remove("node3"),
        }
        server.fails(None);
        eventually(LATE, "the source error is gone", || match state(one)["source"]["error"].as_str() {
            Some("") => Ok(()),
            _ => Err(report(&agent)),
        })?;
        routes_to(one, &next)?;
        assert_eq!(metric(one, "podlan_node_source_failing"), Ok(0), "{}", report(&agent));
        let more = peak(&agent).saturating_sub(before);
        assert!(agent.is_running() && more < MORE, "{more} KiB more: {}", report(&agent));
    }
    Ok(())
}

const TOO_MUCH: &str = "sent more than 4 MiB in one piece";
const SILENT: &str = "sent nothing for 30 s while an answer was due";

const WHILE_STREAMING: [(Fault, &str); 3] =
    [(Fault::Cut, "watch the nodes"), (Fault::Flood, TOO_MUCH), (Fault::Status(500), "no luck today")];

const WHILE_PAGING: [(Fault, &str); 3] =
    [(Fault::HugeNode, TOO_MUCH), (Fault::Garbage, "watch the nodes"), (Fault::Status(410), "no luck today")];

/// The faults for this way to list; in the long form, all.
fn faults(of: &[(Fault, &'static str)]) -> Vec<(Fault, &'static str)> {
    if long() { [WHILE_STREAMING, WHILE_PAGING].concat() } else { of.to_vec() }
}

#[test]
fn a_server_that_fails_in_any_way_while_it_streams_costs_no_route_and_no_memory() {
    within(|| outlives(Lists::Streamed, &faults(&WHILE_STREAMING)));
}

#[test]
fn a_server_that_fails_in_any_way_while_it_lists_in_pages_costs_no_route_and_no_memory() {
    within(|| outlives(Lists::Paged, &faults(&WHILE_PAGING)));
}

/// These take minutes: the agent's own tests do the same with a paused clock
/// (`a_server_that_hangs_is_named_wherever_it_does`).
#[test]
fn a_server_that_hangs_times_out_and_is_followed_again() {
    if !long() {
        return;
    }
    within(|| {
        let faults = [Fault::Silence, Fault::SilenceInNode].map(|fault| (fault, SILENT));
        outlives(Lists::Paged, &faults)
    });
}

#[test]
fn a_watch_that_stops_within_an_event_times_out() {
    if !long() {
        return;
    }
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let server = Server::start(one, Lists::Streamed)?;
        server.put(one.as_kubernetes());
        server.put(two.as_kubernetes());
        let mut agent = agent(one, &server, &[])?;
        routes_to(one, &[two])?;
        server.falls_silent_in_an_event();
        agent.prints(SILENT, LATE)?;
        routes_to(one, &[two])?;
        server.put(three.as_kubernetes());
        routes_to(one, &[two, three])
    });
}
