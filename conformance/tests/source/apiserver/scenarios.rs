//! Scenarios of a cluster, and the agent's routes during each.

use std::time::Duration;

use podlan_conformance::agent::{state, state_text as said};
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually};
use serde_json::{Value, json};

use super::acts::{BACK, noting};
use super::cluster::{Backend, Cluster};
use super::server::{FRONT, Server};

/// Longer than the agent waits before its next attempt to reach a server.
const SOON: Duration = Duration::from_secs(60);

/// The user of the agents in the API server.
pub(super) fn agents_user() -> Value {
    json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "podlan-node" })
}

/// A node as its kubelet registers it, and as the controller manager gave it its pod CIDRs.
fn registered(node: &Node) -> Value {
    let mut registered = node.as_kubernetes();
    registered["metadata"]["labels"] = json!({
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": node.name() });
    registered["status"]["conditions"] = json!([ready("2026-01-01T00:00:00Z")]);
    registered["status"]["nodeInfo"]["kubeletVersion"] = json!("v1.37.2");
    registered["status"]["capacity"] = json!({ "cpu": "2", "memory": "4Gi", "pods": "110" });
    registered
}

/// The condition that a kubelet renews while it runs.
fn ready(at: &str) -> Value {
    json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": at, "lastTransitionTime": "2026-01-01T00:00:00Z" })
}

fn register(server: &Server, nodes: &[&Node]) -> Result<(), Error> {
    nodes.iter().try_for_each(|node| server.create(&registered(node)))
}

/// Each route to a peer and its next hop, for both families.
fn ways<'a>(peer: &'a Node) -> impl Iterator<Item = (String, String)> + 'a {
    peer.pod_cidrs().into_iter().zip(peer.ips()).map(|(cidr, address)| (cidr.to_string(), address.to_string()))
}

/// Waits until `node` has routes to the pods of these peers, and no others.
fn routes_to(node: &Node, peers: &[&Node]) -> Result<(), Error> {
    routes(node, &peers.iter().flat_map(|peer| ways(peer)).collect::<Vec<_>>())
}

/// Waits until `node` has these routes to other nodes' pods, each with its next hop, and no others.
fn routes(node: &Node, expected: &[(String, String)]) -> Result<(), Error> {
    eventually(SOON, &format!("routes {expected:?} and no others"), || {
        let network = node.network().map_err(|error| error.to_string())?;
        let all = expected.iter().all(|(to, via)| !network.lines(&["unicast", to, "via", via, "110"]).is_empty());
        let held = network.lines(&["unicast", "proto", "110"]);
        if all && held.len() == expected.len() { Ok(()) } else { Err(format!("{held:?}\n{}", said(node))) }
    })
}

/// The agent's source error; empty while everything is ok.
fn source_error(node: &Node) -> String {
    state(node)["source"]["error"].as_str().unwrap_or("no state yet").to_owned()
}

/// Waits until the agent reports a source error with all of these words.
fn reports_error(node: &Node, words: &[&str]) -> Result<(), Error> {
    eventually(SOON, &format!("a source error with {words:?}"), || {
        let said = source_error(node);
        if !said.is_empty() && words.iter().all(|word| said.contains(word)) { Ok(()) } else { Err(said) }
    })
}

fn reports_no_error(node: &Node) -> Result<(), Error> {
    eventually(SOON, "no source error", || match source_error(node) {
        said if said.is_empty() => Ok(()),
        said => Err(said),
    })
}

/// The routes of `node` as they are, without waiting.
fn unchanged(node: &Node, peers: &[&Node]) -> Result<(), Error> {
    let network = node.network()?;
    for (to, via) in peers.iter().flat_map(|peer| ways(peer)) {
        assert!(!network.lines(&["unicast", &to, "via", &via, "110"]).is_empty(), "no route to {to} in\n{network}");
    }
    Ok(())
}

/// A node registers, gets its pod CIDRs, changes its addresses, returns with other pod CIDRs, leaves.
pub(super) fn nodes_come_and_go(backend: Backend) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, three] = lab.these();
    let cluster = Cluster::start(backend, "nodes-come-and-go", one, "")?;
    cluster.step("node1 and node2 are there, and the agent may see them", |server| {
        server.allow(&agents_user())?;
        register(server, &[one, two])
    })?;
    let _agent = cluster.agent(one, &[])?;
    routes_to(one, &[two])?;

    cluster.step("node3 registers and has no pod CIDRs yet", |server| {
        let mut new = registered(three);
        new["spec"] = json!({});
        server.create(&new)
    })?;
    cluster.step("node3 is given its pod CIDRs", |server| {
        let cidrs = three.pod_cidrs().map(|cidr| cidr.to_string());
        server.give_pod_cidrs("node3", &[&cidrs[0], &cidrs[1]])
    })?;
    routes_to(one, &[two, three])?;

    cluster.step("node3 changes its IPv6 address alone", |server| {
        server.report(FRONT, "node3", |status| status["addresses"][1]["address"] = json!("fd31::33"))
    })?;
    let [v4, v6] = three.pod_cidrs().map(|cidr| cidr.to_string());
    let with = |own: [(&str, &str); 2]| -> Vec<(String, String)> {
        let own = own.map(|(to, via)| (to.to_owned(), via.to_owned()));
        ways(two).chain(own).collect()
    };
    routes(one, &with([(&v4, "172.31.0.3"), (&v6, "fd31::33")]))?;
    cluster.step("node3 changes its IPv4 address too", |server| {
        server.report(FRONT, "node3", |status| status["addresses"][0]["address"] = json!("172.31.0.33"))
    })?;
    routes(one, &with([(&v4, "172.31.0.33"), (&v6, "fd31::33")]))?;

    cluster.step("node2's kubelet beats", |server| {
        server.report(FRONT, "node2", |status| status["conditions"] = json!([ready("2026-01-01T00:05:00Z")]))
    })?;
    cluster.step("node3 leaves and registers with other pod CIDRs", |server| {
        server.delete(FRONT, "node3")?;
        let mut new = registered(three);
        new["spec"] = json!({ "podCIDR": "10.244.77.0/24", "podCIDRs": ["10.244.77.0/24", "fd00:10:244:77::/64"] });
        server.create(&new)
    })?;
    routes(one, &with([("10.244.77.0/24", "172.31.0.3"), ("fd00:10:244:77::/64", "fd31::3")]))?;

    cluster.step("node3 leaves", |server| server.delete(FRONT, "node3"))?;
    routes_to(one, &[two])?;
    reports_no_error(one)?;
    cluster.ends()
}

/// The server is killed; changes meanwhile, by another server of the same cluster, are applied afterwards.
pub(super) fn the_server_is_away(backend: Backend) -> Result<(), Error> {
    let lab = Lab::new(4)?;
    let [one, two, three, four] = lab.these();
    let cluster = Cluster::start(backend, "the-server-is-away", one, "")?;
    cluster.step("three nodes are there, and the agent may see them", |server| {
        server.allow(&agents_user())?;
        register(server, &[one, two, three])?;
        server.open(BACK)
    })?;
    let _agent = cluster.agent(one, &[])?;
    routes_to(one, &[two, three])?;

    cluster.step("the server is killed", |server| {
        server.kill(FRONT);
        Ok(())
    })?;
    reports_error(one, &["watch the nodes"])?;
    unchanged(one, &[two, three])?;
    cluster.step("node3 leaves, node4 comes, and the server comes back", |server| {
        server.delete(BACK, "node3")?;
        server.call(BACK, http::Method::POST, "/api/v1/nodes", &registered(four))?;
        server.open(FRONT)
    })?;
    routes_to(one, &[two, four])?;
    reports_no_error(one)?;

    cluster.step("the server is killed and comes back, and nothing has changed", |server| {
        server.kill(FRONT);
        server.open(FRONT)
    })?;
    unchanged(one, &[two, four])?;
    cluster.step("node4 leaves", |server| server.delete(FRONT, "node4"))?;
    routes_to(one, &[two])?;
    reports_no_error(one)?;
    cluster.ends()
}

/// The store is lost: the server counts its versions from the start again, and the nodes register again. A watch from
/// the old store's version is accepted, but gets no event until the new store has reached that version.
pub(super) fn the_store_is_lost(backend: Backend) -> Result<(), Error> {
    let lab = Lab::new(4)?;
    let [one, two, three, four] = lab.these();
    let cluster = Cluster::start(backend, "the-store-begins-anew", one, "")?;
    cluster.step("three nodes are there, and the agent may see them", |server| {
        server.allow(&agents_user())?;
        register(server, &[one, two, three])?;
        // The old store's version is higher than the new one's will be.
        server.grow_older(200)?;
        server.report(FRONT, "node2", |status| status["capacity"]["pods"] = json!("250"))
    })?;
    let _agent = cluster.agent(one, &[])?;
    routes_to(one, &[two, three])?;

    cluster.step("the store is lost and the server begins anew", |server| server.restart_empty())?;
    unchanged(one, &[two, three])?;
    cluster.step("the nodes register anew, node4 in the place of node3", |server| {
        server.allow(&agents_user())?;
        register(server, &[one, two, four])
    })?;
    routes_to(one, &[two, four])?;
    reports_no_error(one)?;
    cluster.ends()
}

/// A server without the feature gate WatchList.
pub(super) fn no_streamed_lists(backend: Backend) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, three] = lab.these();
    let cluster = Cluster::start(backend, "no-streamed-lists", one, "WatchList=false")?;
    cluster.step("node1 and node2 are there, and the agent may see them", |server| {
        server.allow(&agents_user())?;
        register(server, &[one, two])
    })?;
    let _agent = cluster.agent(one, &[])?;
    routes_to(one, &[two])?;
    cluster.step("node3 registers", |server| register(server, &[three]))?;
    routes_to(one, &[two, three])?;
    cluster.step("node3 leaves", |server| server.delete(FRONT, "node3"))?;
    routes_to(one, &[two])?;
    reports_no_error(one)?;
    cluster.ends()
}

/// The agent runs before its role is bound.
pub(super) fn permission_comes_late(backend: Backend) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [one, two] = lab.these();
    let cluster = Cluster::start(backend, "permission-comes-late", one, "")?;
    cluster.step("node1 and node2 are there", |server| register(server, &[one, two]))?;
    let _agent = cluster.agent(one, &[])?;
    reports_error(one, &["watch the nodes", "forbidden", "podlan-node"])?;
    routes_to(one, &[])?;
    cluster.step("the agent's role is bound", |server| server.allow(&agents_user()))?;
    routes_to(one, &[two])?;
    reports_no_error(one)?;
    cluster.ends()
}

/// What tells a pod of the cluster where its API server is.
#[derive(Clone, Copy)]
pub(super) enum Told {
    ByTheService,
    ByTheCommandLine,
}

/// The agent has its access like a pod of the cluster: files of a service account, and the server's address from the
/// environment, or, where nothing answers at that one, from its command line.
pub(super) fn as_a_pod(account: &str, at: Told) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, three] = lab.these();
    let server = Server::start(one, noting(""))?;
    register(&server, &[one, two])?;
    server.service_account(account)?;
    server.allow(&json!({ "kind": "ServiceAccount", "namespace": "kube-system", "name": account }))?;
    let agent = one.command(binaries::find("podlan-node")?).args(["run", "--node-name", one.name(), "--kubernetes"]);
    let service = |host: &str, port: u16| {
        agent.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port.to_string())
    };
    let _agent = match at {
        Told::ByTheService => service(&one.v4().to_string(), FRONT),
        Told::ByTheCommandLine => {
            service("10.96.0.1", 443).args(["--kubernetes-endpoint", &format!("{}:{FRONT}", one.v4())])
        }
    }
    .spawn()?;
    routes_to(one, &[two])?;
    server.create(&registered(three))?;
    routes_to(one, &[two, three])?;

    let asked = server.asked_by(&format!("system:serviceaccount:kube-system:{account}"))?;
    assert!(!asked.is_empty(), "the audit log has the requests of the agent");
    for (what, uri) in &asked {
        assert_eq!(what, "watch nodes", "{uri}: one metadata-only watch, nothing else");
        assert!(uri.contains("sendInitialEvents=true") && uri.contains("allowWatchBookmarks=true"), "{uri}");
    }
    assert_eq!(asked.len(), 1, "one watch: {asked:?}");
    Ok(())
}
