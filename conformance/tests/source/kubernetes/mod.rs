//! The agent's nodes from the Kubernetes API, served by a test server that answers, and fails, like a real one.
//!
//! ```text
//!   node1 (agent ── 127.0.0.1 ── API server) ──┬── node2, node3
//!                                             lan
//! ```

mod fault;
mod faults;
mod server;

use std::fs;
use std::time::Duration;

use podlan_conformance::agent::{METRICS, metric, routes_to, state, state_text as said};
use podlan_conformance::lab::{Error, Lab, Node, Running, binaries, eventually, within};
use serde_json::{Value, json};

use server::{Lists, Server};

const SOON: Duration = Duration::from_secs(20);

/// The next attempt may follow half a minute later.
const LATE: Duration = Duration::from_secs(120);

/// How every C library's text for ENETUNREACH ends.
const UNREACHABLE: &str = "unreachable (os error 101)";

/// Starts the agent of `node` on the server's nodes.
fn agent(node: &Node, server: &Server, arguments: &[&str]) -> Result<Running, Error> {
    agent_of(node, &server.url(), arguments)
}

/// Starts the agent of `node` on the nodes of the server at this address.
fn agent_of(node: &Node, url: &str, arguments: &[&str]) -> Result<Running, Error> {
    let path = node.path("/run/kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "clusters": [{ "name": "lab", "cluster": { "server": url } }],
        "users": [{ "name": "lab", "user": {} }],
    });
    fs::write(&path, config.to_string())
        .map_err(|source| Error::System { doing: format!("write {}", path.display()), source })?;
    node.command(binaries::find("podlan-node")?)
        .args(["run", "--node-name", node.name(), "--kubeconfig", "/run/kubeconfig"])
        .args(arguments)
        .spawn()
}

fn follows_the_cluster(lists: Lists) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, three] = lab.these();
    let server = Server::start(one, lists)?;
    server.put(one.as_kubernetes());
    server.put(two.as_kubernetes());
    let _agent = agent(one, &server, &[])?;
    routes_to(one, &[two])?;
    server.put(three.as_kubernetes());
    routes_to(one, &[two, three])?;
    server.remove("node3");
    routes_to(one, &[two])?;
    assert_eq!(state(one)["ready"], true);
    Ok(())
}

#[test]
fn nodes_that_come_and_go_are_followed_by_a_streamed_list_and_its_watch() {
    within(|| follows_the_cluster(Lists::Streamed));
}

#[test]
fn a_server_without_streamed_lists_is_listed_in_pages() {
    within(|| follows_the_cluster(Lists::Paged));
}

#[test]
fn an_unreachable_server_is_logged_once_with_the_kernels_error() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let mut agent = agent_of(one, "http://10.96.0.1:443", &["--listen", &METRICS.to_string()])?;
        agent.prints(UNREACHABLE, SOON)?;
        eventually(SOON, "the state has it too", || match state(one)["source"]["error"].as_str() {
            Some(error) if error.contains(UNREACHABLE) => Ok(()),
            _ => Err(said(one)),
        })?;
        eventually(LATE, "it was tried again", || match metric(one, "podlan_node_source_errors_total")? {
            0..=2 => Err(said(one)),
            _more => Ok(()),
        })?;
        // By the source when it fails, and as a condition when that lasts.
        let log = agent.stderr();
        for from in ["source_report", "kind=\"node-list-unreadable\""] {
            let lines = log.lines().filter(|line| line.contains(from) && line.contains(UNREACHABLE)).count();
            assert_eq!(lines, 1, "{from}: {log}");
        }
        assert_eq!(log.matches(UNREACHABLE).count(), 2, "{log}");
        Ok(())
    });
}

#[test]
fn an_incomplete_list_withdraws_nothing_and_changes_are_applied_after_an_outage() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let server = Server::start(one, Lists::Streamed)?;
        for node in [one, two, three] {
            server.put(node.as_kubernetes());
        }
        let _agent = agent(one, &server, &[])?;
        routes_to(one, &[two, three])?;
        // The stored version is too old: the agent must list again, and every list ends in the middle.
        server.break_lists(true);
        server.expire();
        eventually(SOON, "a list was incomplete", || if server.broken() > 1 { Ok(()) } else { Err(said(one)) })?;
        routes_to(one, &[two, three])?;
        server.remove("node3");
        server.break_lists(false);
        routes_to(one, &[two])?;
        eventually(SOON, "the source error is gone", || match state(one)["source"]["error"].as_str() {
            Some("") => Ok(()),
            error => Err(format!("{error:?}")),
        })
    });
}

#[test]
fn a_server_that_suddenly_lists_no_nodes_cuts_nobody_off() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let server = Server::start(one, Lists::Streamed)?;
        for node in [one, two, three] {
            server.put(node.as_kubernetes());
        }
        let _agent = agent(one, &server, &["--withdraw-hold", "1s"])?;
        routes_to(one, &[two, three])?;
        server.forget_all();
        eventually(SOON, "the empty list is held", || match &state(one)["held"]["withdraws"] {
            count if *count == 4 => Ok(()),
            _ => Err(said(one)),
        })?;
        routes_to(one, &[two, three])?;
        routes_to(one, &[])
    });
}

/// Only the server knows which of two lists is the newer one: with another store its versions start again. So a list is
/// used although its version is lower, and one that would cut the node off is held until another confirms it.
fn takes_lists_as_they_come(lists: Lists) -> Result<(), Error> {
    let lab = Lab::new(4)?;
    let [one, two, three, four] = lab.these();
    let server = Server::start(one, lists)?;
    server.put(one.as_kubernetes());
    let at_first = server.moment();
    for node in [two, three] {
        server.put(node.as_kubernetes());
    }
    let then = server.moment();
    server.put(four.as_kubernetes());
    let now = server.moment();
    let _agent = agent(one, &server, &[])?;
    routes_to(one, &[two, three, four])?;
    server.returns_to(&then);
    routes_to(one, &[two, three])?;
    server.put(four.as_kubernetes());
    routes_to(one, &[two, three, four])?;

    server.returns_to(&at_first);
    eventually(SOON, "the list without all peers is held", || match &state(one)["held"]["withdraws"] {
        count if *count == 6 => Ok(()),
        _ => Err(said(one)),
    })?;
    routes_to(one, &[two, three, four])?;
    server.returns_to(&now);
    eventually(SOON, "nothing is held", || if state(one)["held"].is_null() { Ok(()) } else { Err(said(one)) })?;
    routes_to(one, &[two, three, four])
}

#[test]
fn a_stale_list_that_is_streamed_counts_and_cuts_nobody_off() {
    within(|| takes_lists_as_they_come(Lists::Streamed));
}

#[test]
fn a_stale_list_in_pages_counts_and_cuts_nobody_off() {
    within(|| takes_lists_as_they_come(Lists::Paged));
}

/// Malformed objects make neither the list nor the watch fail, and a node keeps what a later object lacks.
fn odd_objects_are_their_own_fault(lists: Lists) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, three] = lab.these();
    let server = Server::start(one, lists)?;
    let odd = [
        json!({ "metadata": { "name": "a-odd", "labels": 7 }, "spec": "x", "status": 5 }),
        json!({ "metadata": { "name": "b-odd" }, "spec": { "podCIDR": 9, "podCIDRs": { "a": [] } }, "status": null }),
        json!({ "metadata": { "name": 7 }, "spec": null, "status": { "addresses": [null, 5, { "type": [], "address": 1 }] } }),
    ];
    for node in odd.iter().cloned().chain([one, two].map(Node::as_kubernetes)) {
        server.put(node);
    }
    let _agent = agent(one, &server, &[])?;
    routes_to(one, &[two])?;
    for node in odd.into_iter().chain([three.as_kubernetes()]) {
        server.put(node);
    }
    routes_to(one, &[two, three])?;
    let mut lost = two.as_kubernetes();
    (lost["spec"], lost["status"]) =
        (Value::Null, json!({ "addresses": [{ "type": "InternalIP", "address": "fe80::2" }] }));
    server.put(lost);
    eventually(SOON, "what it lacks is flagged", || {
        let said = fs::read_to_string(one.path("/run/podlan/verdicts.json")).unwrap_or_default();
        let all = [
            "172.31.0.2 is kept",
            "fd31::2 is kept",
            "10.244.2.0/24 is kept",
            "\\\"fe80::2\\\" is not a unicast address",
        ];
        if all.iter().all(|words| said.contains(words)) { Ok(()) } else { Err(said) }
    })?;
    routes_to(one, &[two, three])?;
    server.remove("node2");
    routes_to(one, &[three])
}

#[test]
fn an_odd_node_object_fails_neither_a_streamed_list_nor_its_watch() {
    within(|| odd_objects_are_their_own_fault(Lists::Streamed));
}

#[test]
fn an_odd_node_object_fails_no_list_in_pages() {
    within(|| odd_objects_are_their_own_fault(Lists::Paged));
}

#[test]
fn a_node_that_becomes_malformed_keeps_its_routes_and_heartbeats_change_nothing() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let server = Server::start(one, Lists::Streamed)?;
        server.put(one.as_kubernetes());
        server.put(two.as_kubernetes());
        let _agent = agent(one, &server, &[])?;
        routes_to(one, &[two])?;
        let synced = state(one)["source"]["lastSync"].clone();
        let mut beating = two.as_kubernetes();
        beating["status"]["conditions"] = json!([{ "type": "Ready", "lastHeartbeatTime": "2026-01-01T00:00:00Z" }]);
        server.put(beating);
        let mut odd = two.as_kubernetes();
        odd["spec"] = json!({ "podCIDR": "10.244.2.7/24", "podCIDRs": ["10.244.2.7/24"] });
        server.put(odd);
        eventually(SOON, "the verdict names the fault", || {
            let said = fs::read_to_string(one.path("/run/podlan/verdicts.json")).unwrap_or_default();
            if said.contains("host bits set") { Ok(()) } else { Err(said) }
        })?;
        assert!(!synced.is_null());
        routes_to(one, &[two])
    });
}
