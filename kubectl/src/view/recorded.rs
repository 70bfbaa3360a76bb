//! The texts of a cluster whose answers were recorded in the lab: three nodes of both families, and the network drops what node1's
//! pods send to node3. `PODLAN_GOLDEN=record` with the test `inspect` of the lab records the answers again, with this one the
//! texts.

use std::fs;
use std::path::{Path, PathBuf};

use inspect::doctor::report::Answer as Doctor;
use inspect::leases::Line;
use inspect::status::Status;
use inspect::trace::way::Answer as Way;
use serde::de::DeserializeOwned;

use super::trace::{Half, Pod};
use super::{doctor, leases, map, paths, status, trace};
use crate::ask::Released;
use crate::cluster::{Answer, Answers};
use crate::kubernetes::{Agent, Site};

const NODES: [&str; 3] = ["node1", "node2", "node3"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/view/recorded")
}

fn read<T: DeserializeOwned>(what: &str, node: &str) -> T {
    let text = fs::read_to_string(folder().join(format!("{what}-{node}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The answers of these nodes, each kept as the command keeps it.
fn answers<T: DeserializeOwned + Released, U>(nodes: &[&str], what: &str, keep: impl Fn(T) -> U) -> Answers<U> {
    let mut client = String::new();
    let nodes = nodes.iter().map(|&node| {
        let value: T = read(what, node);
        let release = match value.release() {
            "" => read::<Status<'static>>("status", node).release,
            release => release.to_owned(),
        };
        client.clone_from(&release);
        (node.to_owned(), Ok(Answer { release: Ok(release), value: keep(value), complaint: None }))
    });
    let nodes = nodes.collect();
    Answers { client, nodes, not_expected: Vec::new(), unlisted: None }
}

fn statuses() -> Answers<status::NodeStatus> {
    let place = |node: &str| NODES.iter().position(|known| *known == node);
    answers(&NODES, "status", |status: Status<'static>| status::keep(status, place))
}

/// A minute after the last fault began.
fn now() -> u64 {
    let answers = statuses();
    let since = |status: &status::NodeStatus| {
        let paths = status.state.paths.iter().flat_map(|paths| &paths.worst).map(|line| line.since);
        paths.chain(status.state.conditions.iter().map(|condition| condition.since)).max()
    };
    answers.given().filter_map(|(_, answer)| since(&answer.value)).max().unwrap_or_default() + 60
}

#[track_caller]
fn is_as_recorded(name: &str, text: &str) {
    let file = folder().join(name);
    if std::env::var("PODLAN_GOLDEN").is_ok_and(|word| word == "record") {
        fs::write(&file, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap(), "{name}");
}

#[test]
fn the_status_is_as_recorded() {
    let answers = statuses();
    let statuses = status::statuses(&answers);
    is_as_recorded("status.txt", &statuses.text(false, now()));
    assert_eq!(statuses.code(), 1);
}

#[test]
fn the_doctor_is_as_recorded() {
    let answers = answers(&NODES, "doctor", |answer: Doctor| answer);
    let doctors = doctor::doctors(&answers);
    is_as_recorded("doctor.txt", &doctors.text(false, now()));
    assert_eq!(doctors.code(), 1);
}

#[test]
fn the_leases_are_as_recorded() {
    let answers = answers(&NODES, "leases", |lines: Vec<Line>| lines);
    let leases = leases::leases(&answers);
    is_as_recorded("leases.txt", &leases.text());
    assert_eq!(leases.code(), 0);
}

#[test]
fn the_paths_are_as_recorded() {
    let answers = statuses();
    let matrix = paths::matrix(&answers);
    is_as_recorded("paths.txt", &matrix.text(false, now()));
    assert_eq!(matrix.code(), 1);
}

#[test]
fn the_way_between_two_pods_is_as_recorded() {
    let mut halves = answers(&["node1", "node3"], "trace", |way: Way| Half { ways: vec![Ok(way)], paths: None });
    for (node, half) in &mut halves.nodes {
        if let Ok(half) = half {
            half.value.paths.clone_from(&read::<Status<'static>>("status", node).state.paths);
        }
    }
    let legs = read::<Way>("trace", "node1").ways.remove(0).legs;
    let pod = |name: &str, node: &str, address| Pod { name: name.into(), node: node.into(), addresses: vec![address] };
    let (from, to) = (legs[0].from.address, legs[0].to.address);
    let trace = trace::trace(pod("default/web", "node1", from), pod("default/far", "node3", to), &halves);
    is_as_recorded("trace.txt", &trace.text());
    assert_eq!(trace.code(), 1);
}

#[test]
fn the_map_has_what_the_page_of_the_lab_had() {
    let answers = statuses();
    let site = |node: &str| Site { node: node.into(), pod_cidrs: Vec::new(), agent: Agent::Absent(String::new()) };
    let sites = NODES.map(site);
    let map = map::map(&sites, &answers, now());
    let value = serde_json::to_value(&map).unwrap();
    assert_eq!((map.code(), &value["segments"]), (1, &serde_json::json!([[0, 1, 2]])));
    assert_eq!(value["paths"].as_array().map(Vec::len), Some(4), "two families, both ends");
}
