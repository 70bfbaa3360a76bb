//! The node agent: routes from nothing compared with `ip -batch`, one changed node, a deleted route, memory. The
//! changes are timed by the kernel's own events, so that reading them costs nothing.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink::{Event, Monitor, Route};
use netlink_packet_route::RouteNetlinkMessage;
use nix::poll::{PollFd, PollFlags, poll};
use podlan_conformance::cluster::{self, NEIGHBOURS, Peer, wait_for_routes};
use podlan_conformance::lab::{Lab, Node, Running, binaries};

use crate::Failure;
use crate::contender::again;
use crate::figures::Figures;

/// The deadline of a change.
const PATIENCE: Duration = Duration::from_secs(20);

/// Routes of the agent's own beside those to the peers: the unreachable ones to the node's own pod CIDRs.
const OWN: u32 = 2;

pub(crate) fn run(quick: bool, figures: &mut Figures) -> Result<(), Failure> {
    let rounds = if quick { 6 } else { 12 };
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    node.command("ip").args(["address", "add", NEIGHBOURS, "dev", "eth0"]).succeeds()?;
    for peers in [100, 1_000, 10_000] {
        cluster::list(&lab, &cluster::items(node, peers, false))?;
        for _ in 0..rounds {
            let case = format!("{peers} routes from nothing");
            for label in ["ip -batch".to_owned(), again("ip -batch")] {
                figures.add("agent", &case, &label, "ms", batch(node, peers)?.as_secs_f64() * 1e3);
            }
            let began = Instant::now();
            let agent = node.agent(&["--log-level", "warn"])?;
            wait_for_routes(node, (peers + OWN).into())?;
            figures.add("agent", &case, "podlan-node", "ms", began.elapsed().as_secs_f64() * 1e3);
            end(node, agent)?;
        }
        let agent = node.agent(&["--log-level", "warn"])?;
        wait_for_routes(node, (peers + OWN).into())?;
        for round in 0..rounds {
            changes(&lab, node, peers, round, figures)?;
        }
        figures.add("agent", &format!("resident, {peers} nodes"), "podlan-node", "MB", resident(&agent)?);
        end(node, agent)?;
    }
    Ok(())
}

/// One node that gets another address, and one route that another program deletes.
fn changes(lab: &Lab, node: &Node, peers: u32, round: u8, figures: &mut Figures) -> Result<(), Failure> {
    let peer = Peer::new(peers / 2);
    let moved = peer.moved_to([172, 31, 250, 1 + round].into());
    let mut items = cluster::items(node, peers, false);
    items[1 + usize::try_from(peers / 2)?] = moved.as_kubernetes(false);
    let change = timed(node, peer.pod_cidr(), || Ok(cluster::list(lab, &items)?))?;
    figures.add("agent", &format!("one changed of {peers} nodes"), "podlan-node", "ms", change.as_secs_f64() * 1e3);
    let heal = timed(node, peer.pod_cidr(), || Ok(node.place().remove_route(peer.pod_cidr())?))?;
    figures.add("agent", &format!("one stolen of {peers} routes"), "podlan-node", "ms", heal.as_secs_f64() * 1e3);
    Ok(())
}

/// From `change` to the kernel's event for a new route to `destination`.
fn timed(
    node: &Node,
    destination: IpNetwork,
    change: impl FnOnce() -> Result<(), Failure> + Send,
) -> Result<Duration, Failure> {
    node.place().enter(|| {
        let mut monitor = Monitor::open()?;
        let began = Instant::now();
        change()?;
        while began.elapsed() < PATIENCE {
            poll(&mut [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)], 100u8)?;
            while let Some(events) = monitor.read()? {
                if events.iter().any(|event| brings(event, destination)) {
                    return Ok(began.elapsed());
                }
            }
        }
        Err(format!("no new route to {destination} within {PATIENCE:?}").into())
    })?
}

fn brings(event: &Event, destination: IpNetwork) -> bool {
    let Event::Changed(message) = event else { return false };
    let new = matches!(**message, RouteNetlinkMessage::NewRoute(_));
    new && Route::from_message(message).is_some_and(|route| route.destination == destination)
}

/// The same routes by iproute2, given in one file, and deleted again.
fn batch(node: &Node, peers: u32) -> Result<Duration, Failure> {
    let line = |number| {
        let peer = Peer::new(number);
        format!("route add {} via {} dev eth0 proto 110 metric 110\n", peer.pod_cidr(), peer.address)
    };
    let lines: String = (0..peers).map(line).collect();
    let file = node.path("/run/routes");
    fs::write(&file, lines)?;
    let output = node.command("ip").args(["-batch", "/run/routes"]).run()?;
    if !output.success() {
        return Err(output.but("ip -batch should have succeeded").into());
    }
    node.command("ip").args(["route", "flush", "proto", "110"]).succeeds()?;
    Ok(output.took)
}

fn end(node: &Node, agent: Running) -> Result<(), Failure> {
    agent.stop(PATIENCE)?;
    node.command(binaries::find("podlan-node")?).arg("cleanup").succeeds()?;
    Ok(())
}

/// Megabytes.
fn resident(agent: &Running) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes / 1e3)
}
