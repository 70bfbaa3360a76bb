//! What one changed node asks of the kernel: netlink requests and system calls, from the first look at the new list to the
//! change of the route, and to the report that has it. Counted, not timed, so that load on the machine changes nothing; and
//! the same among many nodes as among few.

use std::fs;

use podlan_conformance::agent::stop;
use podlan_conformance::cluster::{self, NEIGHBOURS, Peer, wait_for_routes};
use podlan_conformance::cost::Calls;
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, has_strace, within};

use super::{SOON, network};

/// In a round the agent may do something else beside: the least of all rounds is what the change costs.
const ROUNDS: u8 = 7;

/// Netlink requests until the route is changed: which link leads to the new next hop, and the change.
const TO_THE_ROUTE: u64 = 2;

/// Netlink requests until the report, recorded: what the agent looks at after a change.
const TO_THE_REPORT: u64 = 12;

/// Number of nodes, and system calls until the report, recorded, of the release build: the most that the least of the rounds was,
/// as other parts of the agent may look at something in each. Those for memory grow with the list.
const SYSTEM: [(u32, u64); 2] = [(100, 370), (2_000, 407)];

/// Tolerance in system calls, in percent: threads wake each other more or less often.
const PERCENT: u64 = 20;

const TRACE: &str = "/run/change.strace";

/// Attaches strace to all threads of a process, runs `change`, and returns what strace wrote until `done`.
fn traced(
    node: &Node,
    process: u32,
    change: impl FnOnce() -> Result<(), Error>,
    done: impl Fn(&str) -> bool,
) -> Result<String, Error> {
    let file = node.path(TRACE);
    fs::write(&file, "").map_err(Error::system("empty the trace"))?;
    let process = process.to_string();
    let strace = node
        .command("strace")
        .args(["-f", "-qq", "-e", "signal=none", "-e", "abbrev=none", "-o", TRACE, "-p", &process])
        .spawn()?;
    eventually(SOON, "strace follows each thread", || {
        let threads = fs::read_dir(format!("/proc/{process}/task")).map_err(|error| error.to_string())?;
        for thread in threads.flatten() {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            if status.lines().any(|line| line == "TracerPid:\t0") {
                return Err(status);
            }
        }
        Ok(())
    })?;
    change()?;
    let mut text = String::new();
    eventually(SOON, "the change is reported", || {
        text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        if done(&text) { Ok(()) } else { Err(text.clone()) }
    })?;
    strace.stop(SOON)?;
    Ok(text)
}

/// The change of a route, and a dump of node routes (protocol 110).
const NEW_ROUTE: &str = "RTM_NEWROUTE";
const DUMP: [&str; 3] = ["RTM_GETROUTE", "NLM_F_DUMP", "rtm_protocol=0x6e"];

/// What strace wrote of a change, from the first look at the new list.
struct Change<'a> {
    /// To the change of the route.
    route: Vec<&'a str>,
    /// To the first report after it.
    report: Vec<&'a str>,
}

/// `None` before the change is reported.
fn of_the_change(trace: &str) -> Option<Change<'_>> {
    let lines: Vec<&str> = trace.lines().skip_while(|line| !line.contains(Lab::NODES_FILE)).collect();
    let route = lines.iter().position(|line| line.contains(" send") && line.contains(NEW_ROUTE))?;
    let is_report = |line: &&str| line.contains("rename(") && line.contains("node.json");
    let report = route + lines.get(route..)?.iter().position(is_report)?;
    Some(Change { route: lines.get(..=route)?.to_vec(), report: lines.get(..=report)?.to_vec() })
}

#[test]
fn one_changed_node_takes_as_few_messages_among_two_thousand_as_among_a_hundred() {
    if !binaries::are_release() || !has_strace() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        super::add_address(one, "eth0", network(NEIGHBOURS))?;
        let mut wrong = Vec::new();
        for (peers, system) in SYSTEM {
            let mut items = cluster::items(one, peers, false);
            cluster::list(&lab, &items)?;
            let agent = one.agent(&["--log-level", "warn", "--resync", "1h", "--probe", "off"])?;
            wait_for_routes(one, (peers + 2).into())?;
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                let moved = Peer::new(50).moved_to([172, 31, 250, 1 + round].into());
                items[51] = moved.as_kubernetes(false);
                let is_done = |text: &str| of_the_change(text).is_some();
                let text = traced(one, agent.id(), || cluster::list(&lab, &items), is_done)?;
                let Some(Change { route, report }) = of_the_change(&text) else { continue };
                let sent = |words: &[&str]| {
                    let has = |line: &&&str| line.contains(" send") && words.iter().all(|word| line.contains(word));
                    report.iter().filter(has).count()
                };
                let changed = (sent(&[NEW_ROUTE]), sent(&["RTM_DELROUTE"]), sent(&DUMP));
                assert_eq!(changed, (1, 0, 0), "one route changed, none deleted, no dump: {}", report.join("\n"));
                rounds.push((Calls::of(route.into_iter()), Calls::of(report.into_iter())));
            }
            stop(agent)?;
            super::node_command(one, &["cleanup"])?;
            let least = |of: fn(&(Calls, Calls)) -> u64| rounds.iter().map(of).min().unwrap_or(u64::MAX);
            let seen = (least(|(route, _)| route.netlink), least(|(_, report)| report.netlink));
            let calls = least(|(_, report)| report.system);
            println!("one changed of {peers} nodes: {} and {} netlink requests, {calls} system calls", seen.0, seen.1);
            let same = seen.0 == TO_THE_ROUTE && seen.1 <= TO_THE_REPORT;
            if !same || calls * 100 > system * (100 + PERCENT) {
                let was = format!("it was {TO_THE_ROUTE}, at most {TO_THE_REPORT}, and {system} with {PERCENT} %");
                wrong.push(format!(
                    "one of {peers}: {seen:?} netlink requests, {calls} system calls; {was}: {rounds:?}"
                ));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::Unreadable { from: "strace".into(), said: wrong.join("\n") }) }
    });
}
