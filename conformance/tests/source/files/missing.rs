//! Missing entries do not remove routes, and valid ones are used at once.

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use serde_json::{Value, json};

use super::{SOON, agent_on, has, has_not, has_routes_to, is_ready, list, node_command, ours, status_names, stop};

/// Ways for a node to lose its data, and the text of status for each.
fn losses() -> Vec<(&'static str, Value, &'static str)> {
    let internal = |addresses: &[&str]| {
        let address = |address: &&str| json!({ "type": "InternalIP", "address": address });
        json!({ "status": { "addresses": addresses.iter().map(address).collect::<Vec<_>>() } })
    };
    let mut null = internal(&["172.31.0.3", "fd31::3"]);
    null["status"]["addresses"][0]["address"] = Value::Null;
    vec![
        ("no address", internal(&[]), "no IPv4 InternalIP in the list; its last good address 172.31.0.3 is kept"),
        ("no IPv4 address", internal(&["fd31::3"]), "its last good address 172.31.0.3 is kept"),
        ("no IPv6 address", internal(&["172.31.0.3"]), "its last good address fd31::3 is kept"),
        ("an address that is null", null, "its last good address 172.31.0.3 is kept"),
        ("no status", json!({ "status": null }), "its last good address fd31::3 is kept"),
        ("a status of the wrong type", json!({ "status": 5 }), "status is a number, not a mapping"),
        ("only a link-local address", internal(&["169.254.7.7", "fe80::7"]), "is not a unicast address"),
        ("a loopback address", internal(&["127.0.0.1", "::1"]), "is not a unicast address"),
        ("a mapped address", internal(&["::ffff:172.31.0.3"]), "is an IPv4 address written as IPv6"),
        ("garbage", internal(&["node3.example.com", "172.31.0"]), "is not an IP address"),
        ("no pod CIDR", json!({ "spec": {} }), "no IPv4 pod CIDR in the list; its last good one 10.244.3.0/24 is kept"),
        ("no IPv6 pod CIDR", json!({ "spec": { "podCIDRs": ["10.244.3.0/24"] } }), "one fd00:10:244:3::/64 is kept"),
        ("pod CIDRs that are null", json!({ "spec": { "podCIDRs": [null, null] } }), "one 10.244.3.0/24 is kept"),
        ("a pod CIDR that is text", json!({ "spec": { "podCIDRs": "10.244.3.0/24" } }), "is a string, not a list"),
        ("no spec", json!({ "spec": null, "metadata": { "name": "node3", "labels": 7 } }), "one 10.244.3.0/24 is kept"),
    ]
}

/// A node with some of its parts replaced.
fn with(node: &Node, parts: &Value) -> Value {
    let mut changed = node.as_kubernetes();
    for (name, part) in parts.as_object().into_iter().flatten() {
        changed[name] = part.clone();
    }
    changed
}

#[test]
fn a_listed_node_that_loses_anything_keeps_its_routes_and_is_flagged_also_after_a_restart() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let good = || vec![one.as_kubernetes(), two.as_kubernetes(), three.as_kubernetes()];
        let mut agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        has_routes_to(one, three)?;
        let before = ours(one)?;
        for (index, (what, parts, flagged)) in losses().into_iter().enumerate() {
            let odd = [one.as_kubernetes(), two.as_kubernetes(), with(three, &parts)];
            // Every second node loses it while no agent runs.
            if index % 2 == 0 {
                list(&lab, &odd)?;
                status_names(one, flagged)?;
                assert_eq!(ours(one)?, before, "{what}");
            }
            stop(agent)?;
            list(&lab, &odd)?;
            agent = one.agent(&[])?;
            is_ready(one, &agent)?;
            status_names(one, flagged)?;
            assert_eq!(ours(one)?, before, "{what}, after a restart");
            list(&lab, &good())?;
            eventually(SOON, "nothing is flagged", || match super::state(one) {
                state if state["verdicts"]["kept"].is_null() => Ok(()),
                state => Err(state.to_string()),
            })?;
        }
        Ok(())
    });
}

#[test]
fn this_node_keeps_its_own_pod_cidr_too() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        let before = ours(one)?;
        list(&lab, &[with(one, &json!({ "spec": null, "status": null })), two.as_kubernetes()])?;
        status_names(one, "node1 has no IPv4 pod CIDR in the list; its last good one 10.244.1.0/24 is kept")?;
        assert_eq!(ours(one)?, before);
        stop(agent)?;
        let agent = one.agent(&[])?;
        is_ready(one, &agent)?;
        assert_eq!(ours(one)?, before, "after a restart");
        Ok(())
    });
}

#[test]
fn a_valid_address_is_used_at_once_whatever_is_listed_beside_it() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        for odd in ["fe80::250:56ff:fe9f:1", "169.254.3.3", "127.0.0.1", "224.0.0.1", "::ffff:10.0.0.1", "", "garbage"]
        {
            let addresses = |v4: &str| {
                let all = [odd, v4, "fd31::2"].map(|address| json!({ "type": "InternalIP", "address": address }));
                json!({ "status": { "addresses": all } })
            };
            list(&lab, &[one.as_kubernetes(), with(two, &addresses("172.31.0.2"))])?;
            let agent = one.agent(&[])?;
            is_ready(one, &agent)?;
            eventually(SOON, "the route is in", || has(one, &["unicast", "10.244.2.0/24", "172.31.0.2"]))?;
            list(&lab, &[one.as_kubernetes(), with(two, &addresses("172.31.0.77"))])?;
            let follows = || has(one, &["unicast", "10.244.2.0/24", "172.31.0.77"]);
            eventually(SOON, &format!("beside {odd:?} the route follows"), follows)?;
            status_names(one, "status.addresses[0].address")?;
            stop(agent)?;
            let agent = one.agent(&[])?;
            is_ready(one, &agent)?;
            follows().map_err(|seen| Error::Never {
                fact: format!("{odd:?}, after a restart"),
                deadline: SOON,
                seen,
            })?;
            has_not(one, &["172.31.0.2", "110"]).map_err(|seen| Error::Never {
                fact: odd.into(),
                deadline: SOON,
                seen,
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_kept_pod_cidr_ends_with_its_node_a_new_owner_a_new_uid_or_an_operators_command() {
    within(|| {
        let lab = Lab::new(4)?;
        let [one, two, three, four] = lab.these();
        let of_uid = |node: &Node, uid: &str| with(node, &json!({ "metadata": { "name": node.name(), "uid": uid } }));
        let lost = json!({ "metadata": { "name": "node4", "uid": "u4" }, "spec": {} });
        let others = [one.as_kubernetes(), two.as_kubernetes(), three.as_kubernetes()];
        let and = |node: Value| others.iter().cloned().chain([node]).collect::<Vec<_>>();
        let [v4, v6] = four.pod_cidrs().map(|cidr| cidr.to_string());
        let agent = one.agent(&[])?;
        let begin = || -> Result<(), Error> {
            list(&lab, &and(of_uid(four, "u4")))?;
            eventually(SOON, "its routes are in", || {
                has(one, &["unicast", &v4, "172.31.0.4"]).and(has(one, &["unicast", &v6, "fd31::4"]))
            })?;
            list(&lab, &and(with(four, &lost)))?;
            status_names(one, &format!("its last good one {v4} is kept"))
        };
        let gone =
            |why: &str| eventually(SOON, why, || has_not(one, &["unicast", &v4]).and(has_not(one, &["unicast", &v6])));

        begin()?;
        list(&lab, &others)?;
        gone("with its node")?;

        begin()?;
        let mut takes = three.as_kubernetes();
        takes["spec"] = json!({ "podCIDRs": [v4, v6] });
        list(&lab, &[one.as_kubernetes(), two.as_kubernetes(), takes, with(four, &lost)])?;
        eventually(SOON, "another node has it", || has(one, &["unicast", &v4, "172.31.0.3"]))?;

        begin()?;
        let mut another = lost.clone();
        another["metadata"]["uid"] = json!("u5");
        list(&lab, &and(with(four, &another)))?;
        gone("with another node of its name")?;

        begin()?;
        node_command(one, "release-withdrawal")?;
        gone("by an order")?;
        stop(agent)
    });
}

/// What may be in the place of a node in a list, or of a part of it.
fn oddities() -> Vec<Value> {
    let node = |spec: Value, status: Value| json!({ "metadata": { "name": "node9" }, "spec": spec, "status": status });
    vec![
        Value::Null,
        json!([]),
        json!("node9"),
        json!(9),
        json!({}),
        json!({ "metadata": null }),
        json!({ "metadata": { "name": null } }),
        json!({ "metadata": { "name": 9 } }),
        json!({ "metadata": { "name": "node9", "labels": [1], "annotations": "x" } }),
        node(Value::Null, Value::Null),
        node(json!([]), json!("x")),
        node(json!({ "podCIDR": 9, "podCIDRs": [[], {}] }), json!({ "addresses": { "type": "InternalIP" } })),
        node(json!({ "podCIDRs": [null] }), json!({ "addresses": [null, 5, { "type": 5, "address": {} }] })),
    ]
}

#[test]
fn an_odd_node_first_in_a_list_affects_itself_only_in_json_and_in_yaml() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        for (index, odd) in oddities().into_iter().enumerate() {
            let text = super::listed(&[odd.clone(), one.as_kubernetes(), two.as_kubernetes()]);
            for (form, text) in [("JSON", text.clone()), ("YAML", format!("# YAML\n{text}"))] {
                let path = format!("/run/odd/{index}-{form}");
                std::fs::write(super::folder(one, &path).join("nodes.yaml"), text).unwrap();
                let agent = agent_on(one, &format!("{path}/nodes.yaml"), &[])?;
                is_ready(one, &agent)?;
                has_routes_to(one, two)?;
                let said = agent.stderr() + &super::said(one)?;
                for word in ["struct ", "Option<", "budget", "no new list"] {
                    assert!(!said.contains(word), "{form} {odd}: {said}");
                }
                stop(agent)?;
            }
        }
        Ok(())
    });
}
