//! The checks beside the paths: a pod is one host, a deleted route is restored, a node that leaves loses its routes.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::stage::{Stage, has_routes};
use crate::lab::{Error, Lab, Node, PORT, Pod, every};

const PATIENCE: Duration = Duration::from_secs(10);

/// Makes every check; returns whether all held.
pub(super) fn all(lab: &Lab, stage: &Stage<'_>, progress: &mut Progress<'_>) -> Result<bool, Error> {
    let nodes = lab.nodes();
    let held = [
        sharing(stage, progress),
        progress.check("healing", || healing(&nodes[0], &nodes[1], stage)),
        progress.check("leaving", || leaving(lab)),
    ];
    Ok(held.iter().all(|held| *held))
}

/// Checks that the containers of a pod are one host; returns whether they are. The server of each pod is its first
/// container, a process that joins the pod's network namespace is its second.
pub(super) fn sharing(stage: &Stage<'_>, progress: &mut Progress<'_>) -> bool {
    let [web, db] = [&stage.pods[0], &stage.pods[1]];
    let held = [
        progress.check("address", || address(web, &stage.hosts[0].own, db, &stage.hosts[1].own)),
        progress.check("localhost", || localhost(web)),
        progress.check("ports", || ports(web, db)),
    ];
    held.iter().all(|held| *held)
}

/// The first container of the pod is reached at the pod's addresses, and the second is seen at the same.
fn address(pod: &Pod<'_>, own: &[IpAddr], other: &Pod<'_>, others: &[IpAddr]) -> Result<String, Error> {
    other.place().reaches(others, own)?;
    pod.place().reaches(own, others)?;
    let own: Vec<String> = own.iter().map(ToString::to_string).collect();
    let (pod, other) = (pod.name(), other.name());
    Ok(format!("{other} reaches container 1 of {pod} and sees container 2, both at {}", own.join(" and ")))
}

/// The second container of the pod reaches the server of the first on localhost.
fn localhost(pod: &Pod<'_>) -> Result<String, Error> {
    let localhost = every(&["127.0.0.1", "::1"].map(|text| text.parse()).into_iter().flatten().collect::<Vec<_>>());
    let output =
        pod.lab(&["probe", "--port", &PORT.to_string()])?.args(localhost.iter().map(ToString::to_string)).run()?;
    let met =
        output.stdout.lines().filter(|line| line.ends_with(" saw 127.0.0.1") || line.ends_with(" saw ::1")).count();
    match met == localhost.len() {
        true => Ok(format!("container 2 of {} reaches container 1 on 127.0.0.1 and ::1", pod.name())),
        false => Err(output.but("the second container should have reached the first on localhost")),
    }
}

/// A port can be bound once in a pod, and again in another pod.
fn ports(pod: &Pod<'_>, other: &Pod<'_>) -> Result<String, Error> {
    let taken = PORT.to_string();
    for at in ["tcp=0.0.0.0", "udp=0.0.0.0", "tcp=::", "udp=::"] {
        let second = pod.lab(&["bind", at, &taken])?.fails()?;
        if !second.stderr.contains("in use") {
            return Err(second.but("the second bind should have failed because the port is in use"));
        }
    }
    // The other pod's own server holds the demo's port there, bound freely beside this pod's.
    other.lab(&["probe", "--port", &taken, "tcp=127.0.0.1"])?.succeeds()?;
    let free = (PORT + 1).to_string();
    let first = pod.place().serve(PORT + 1)?;
    pod.lab(&["bind", "tcp=0.0.0.0", &free])?.fails()?;
    other.lab(&["bind", "tcp=0.0.0.0", &free])?.succeeds()?;
    drop(first);
    Ok(format!("port {PORT} can be bound once in {}; {} binds the same port", pod.name(), other.name()))
}

/// Routes to another node's pods, deleted by hand, come back.
fn healing(node: &Node, other: &Node, stage: &Stage<'_>) -> Result<String, Error> {
    let mut slowest = Duration::ZERO;
    for cidr in other.pod_cidrs() {
        node.place().remove_route(cidr)?;
        let started = Instant::now();
        has_routes(node, other, true, PATIENCE)?;
        slowest = slowest.max(started.elapsed());
    }
    let hosts = &stage.hosts;
    let client = hosts.iter().position(|host| host.is_pod && host.node == 0).unwrap_or_default();
    let server = hosts.iter().position(|host| host.is_pod && host.node == 1).unwrap_or_default();
    hosts[client].place.reaches(&hosts[client].own, &hosts[server].own)?;
    let ms = slowest.as_secs_f64() * 1e3;
    Ok(format!("{}'s routes to {}, deleted by hand, are back after {ms:.1} ms", node.name(), other.name()))
}

/// A node is removed from the nodes file: the others withdraw the routes to it, and no others.
fn leaving(lab: &Lab) -> Result<String, Error> {
    let Some((leaver, rest)) = lab.nodes().split_last() else { return Ok("there is no node".into()) };
    let started = Instant::now();
    lab.list(&rest.iter().collect::<Vec<_>>())?;
    for node in rest {
        has_routes(node, leaver, false, PATIENCE)?;
    }
    let took = started.elapsed();
    for node in rest {
        for other in rest.iter().filter(|other| other.name() != node.name()) {
            has_routes(node, other, true, PATIENCE)?;
        }
    }
    Ok(format!("{} left: its routes are withdrawn after {} ms, others stay", leaver.name(), took.as_millis()))
}
