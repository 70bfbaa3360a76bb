//! Which agents can be asked, and which pods can be traced.

use serde_json::{Value, json};

use super::*;

fn nodes(items: Value) -> Vec<Node> {
    serde_json::from_value(items).unwrap()
}

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

fn agent_pod(name: &str, node: &str, created: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "kube-system", "creationTimestamp": created },
        "spec": { "nodeName": node, "containers": [{ "name": "side" }, { "name": "podlan-node" }] },
        "status": { "phase": "Running",
                    "containerStatuses": [{ "name": "podlan-node", "state": { "running": { "startedAt": created } } }] },
    })
}

fn runs(pod: &str) -> Agent {
    Agent::Runs { pod: pod.into(), container: "podlan-node".into() }
}

#[test]
fn each_node_is_named_once_with_the_agent_that_can_be_asked_or_why_there_is_none() {
    let list = nodes(json!([
        { "metadata": { "name": "node10" }, "spec": { "podCIDR": "10.244.10.0/24" } },
        { "metadata": { "name": "node9" }, "spec": { "podCIDRs": ["10.244.9.0/24", "fd00::/64", "broken"] } },
        { "metadata": { "name": "bare" } },
        { "metadata": { "name": "win", "labels": { "kubernetes.io/os": "windows" } } },
    ]));
    let mut dying = agent_pod("podlan-new", "node9", "2026-01-03T00:00:00Z");
    dying["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:01Z");
    let mut broken = agent_pod("podlan-x", "lost", "2026-01-01T00:00:00Z");
    broken["status"]["containerStatuses"][0]["state"] =
        json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s" } });
    let pods = [
        pod(agent_pod("podlan-a", "node9", "2026-01-01T00:00:00Z")),
        pod(agent_pod("podlan-b", "node9", "2026-01-02T00:00:00Z")),
        pod(dying),
        pod(agent_pod("podlan-c", "node10", "2026-01-01T00:00:00Z")),
        pod(broken),
        pod(json!({ "metadata": { "name": "podlan-unscheduled" } })),
    ];
    let sites = sites(&list, &pods);
    let names: Vec<&str> = sites.iter().map(|site| site.node.as_str()).collect();
    assert_eq!(names, ["bare", "lost", "node9", "node10", "win"]);
    assert_eq!(sites[0].agent, Agent::Absent("no pod of the agent is on this node".into()));
    let why = "its agent's pod podlan-x does not run: CrashLoopBackOff: back-off 5m0s";
    assert_eq!(sites[1].agent, Agent::Absent(why.into()));
    assert_eq!((&sites[2].agent, sites[2].pod_cidrs.len()), (&runs("podlan-b"), 2));
    assert_eq!((&sites[3].agent, sites[3].pod_cidrs.len()), (&runs("podlan-c"), 1));
    assert!(matches!(&sites[4].agent, Agent::NotExpected(why) if why.contains("windows")));
}

#[test]
fn an_agent_whose_pod_waits_is_absent_with_what_kubernetes_says() {
    let said = |status: Value| {
        let value = json!({
            "metadata": { "name": "p" }, "spec": { "nodeName": "n", "containers": [{ "name": "podlan-node" }] },
            "status": status,
        });
        match super::agent(&[&pod(value)]) {
            Agent::Absent(why) => why,
            other => panic!("{other:?}"),
        }
    };
    let image = json!({ "phase": "Pending", "containerStatuses": [
        { "name": "podlan-node", "state": { "waiting": { "reason": "ErrImagePull" } } }] });
    assert_eq!(said(image), "its agent's pod p does not run: ErrImagePull");
    let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "low on disk" });
    assert_eq!(said(evicted), "its agent's pod p does not run: Evicted: low on disk");
    assert_eq!(said(json!({ "phase": "Pending" })), "its agent's pod p does not run: its phase is Pending");
    assert_eq!(said(json!({})), "its agent's pod p does not run: its state is unknown");
}

#[test]
fn a_pod_that_has_no_link_of_podlan_is_not_traced_and_the_reason_is_given() {
    let of = |spec: Value, status: Value| {
        pod(json!({ "metadata": { "name": "web", "namespace": "shop" }, "spec": spec, "status": status }))
    };
    let ips =
        json!({ "phase": "Running", "podIP": "10.244.1.2", "podIPs": [{ "ip": "10.244.1.2" }, { "ip": "fd00::2" }] });
    let fine = of(json!({ "nodeName": "a" }), ips.clone());
    assert_eq!((fine.unusable(), fine.addresses().len(), fine.name()), (None, 2, "shop/web".to_owned()));
    let why = |spec, status| of(spec, status).unusable().unwrap();
    assert!(why(json!({ "nodeName": "a", "hostNetwork": true }), ips.clone()).contains("hostNetwork"));
    let done = json!({ "phase": "Succeeded", "podIP": "10.244.1.2" });
    assert!(why(json!({ "nodeName": "a" }), done).contains("has ended (Succeeded)"));
    assert!(why(json!({ "nodeName": "a" }), json!({ "phase": "Pending" })).contains("no address yet"));
    let unscheduled = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes are available" }] });
    assert_eq!(why(json!({}), unscheduled), "it is on no node yet: Unschedulable: 0/3 nodes are available");
}
