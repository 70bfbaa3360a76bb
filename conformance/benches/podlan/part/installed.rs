//! ADD and DEL as a runtime asks for them of what a default install leaves on a node: whole lists of plugins, by libcni,
//! with its cache of results; of a pod without a host port, and of one with one.
//!
//! podlan's list is the one that its agent writes, and the agent runs meanwhile. The daemons of the others do not run. Each
//! contender has a node of its own, and their calls take turns.

mod list;
mod runtime;

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Lab, Node, PORT, Pod, eventually};
use podlan_conformance::traffic::{Answer, Protocol, Target, probe};

use crate::Failure;
use crate::contender::{EACH, Families, Verb};
use crate::figures::Figures;
use crate::part::order;
use crate::tools::Tools;
use list::{Kind, Stand};
use runtime::Call;

/// Rounds of those that wait seconds for duplicate address detection.
const SLOW_ROUNDS: usize = 3;

/// Longer than the kernel takes to delete the namespaces of a round.
const TAKEN_DOWN: Duration = Duration::from_millis(150);

/// For a host port to answer.
const SOON: Duration = Duration::from_secs(10);

/// The port of the node.
const HOST_PORT: u16 = 8080;

pub(crate) fn run(tools: &Tools, quick: bool, figures: &mut Figures) -> Result<(), Failure> {
    let Some(lists) = &tools.lists else {
        figures.leave_out("installed", "all", "go is missing");
        return Ok(());
    };
    let rounds = if quick { 20 } else { 100 };
    let kinds = Kind::all(tools);
    for (what, why) in &tools.left_out {
        figures.leave_out("installed", what, why);
    }
    let each = [EACH[0], EACH[2]];
    let lab = Lab::new(u8::try_from(each.len() * kinds.len() + 1)?)?;
    // The first node asks for the host ports of the others.
    let mut nodes = lab.nodes().iter();
    let asks = nodes.next().ok_or("a lab without nodes")?;
    for families in each {
        let mut stands = Vec::new();
        for (kind, node) in kinds.iter().zip(&mut nodes) {
            stands.push(Stand::new(kind, node, families, tools, lists)?);
        }
        for stand in &mut stands {
            works(stand, asks, families)?;
        }
        eprintln!("{}: {rounds} rounds of {}", families.name(), stands.len());
        for round in 0..rounds {
            let mut done = Vec::new();
            for at in order(round, stands.len()) {
                let stand = &mut stands[at];
                if round < SLOW_ROUNDS || !stand.kind().is_slow(families) {
                    done.extend(measured(stand, round, families, figures)?);
                }
            }
            done.iter().try_for_each(Pod::remove)?;
            thread::sleep(TAKEN_DOWN);
        }
    }
    Ok(())
}

/// One ADD and one DEL of a pod without a host port, and of one with one, now this first, now that. A pod before them is not
/// measured: it finds the caches full of what the contender before used.
fn measured<'a>(
    stand: &mut Stand<'a>,
    round: usize,
    families: Families,
    figures: &mut Figures,
) -> Result<Vec<Pod<'a>>, Failure> {
    let with: &[Option<u16>] = match (stand.kind().has_host_ports(), round % 2) {
        (false, _) => &[None, None],
        (true, 0) => &[None, None, Some(HOST_PORT)],
        (true, _) => &[None, Some(HOST_PORT), None],
    };
    let mut done = Vec::new();
    for (nth, &host_port) in with.iter().enumerate() {
        let number = with.len() * round + nth;
        let pod = stand.node().pod(&format!("timed{number}"))?;
        for (verb, name) in [(Verb::Add, "ADD"), (Verb::Del, "DEL")] {
            let took = stand.call(&Call { verb, number, netns: pod.netns(), host_port, families })?;
            let case = format!("{name} {}{}", families.name(), if host_port.is_some() { ", a host port" } else { "" });
            if nth > 0 {
                figures.add("installed", &case, stand.kind().label(), "ms", took.wall);
                figures.add("installed cpu", &case, stand.kind().label(), "ms", took.cpu);
            }
        }
        done.push(pod);
    }
    Ok(done)
}

/// What is measured works: the pod answers at the host port, and is gone after DEL.
fn works(stand: &mut Stand<'_>, asks: &Node, families: Families) -> Result<(), Failure> {
    let pod = stand.node().pod("works")?;
    let host_port = stand.kind().has_host_ports().then_some(HOST_PORT);
    let mut call = Call { verb: Verb::Add, number: 10_000, netns: pod.netns(), host_port, families };
    stand.call(&call)?;
    if let Some(port) = host_port {
        let _server = pod.serve()?;
        let address: IpAddr = stand.node().v4();
        eventually(SOON, &format!("{} answers at port {port}, which leads to {PORT}", stand.kind().label()), || {
            let report = asks.place().enter(|| probe(Target { protocol: Protocol::Tcp, address }, port, None));
            match report {
                Ok(report) if matches!(report.answer, Answer::Saw(_)) => Ok(()),
                Ok(report) => Err(report.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })?;
    }
    call.verb = Verb::Del;
    stand.call(&call)?;
    Ok(pod.remove()?)
}
