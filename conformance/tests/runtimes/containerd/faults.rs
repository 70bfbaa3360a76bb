//! A network that fails, or changes, while pods are running.

use podlan_conformance::lab::{Lab, Node, within};
use serde_json::{Value, json};

use super::parts::Parts;
use super::rig::{INSIDE, LAB, Rig, Worker, chain, conflist};

/// The runtime's calls of podlan since the first `known` ones: the verb, and whether the namespace was given.
fn asked_since(worker: &Worker<'_>, known: usize) -> Vec<(String, bool)> {
    let calls = worker.containerd.calls();
    let of_podlan = calls[known..].iter().filter(|call| call["plugin"] == "podlan");
    of_podlan
        .map(|call| {
            assert!(call["command"] != "DEL" || call["code"] == 0, "{call:#}");
            (call["command"].as_str().unwrap().to_owned(), call["netns"] != "")
        })
        .collect()
}

/// The node's network with one address in each family: the first one that its range gives.
fn of_one_address(node: &Node) -> Value {
    let mut podnet = node.podnet();
    let ranges = node.pod_cidrs().map(|cidr| match cidr {
        ipnetwork::IpNetwork::V4(v4) => {
            let only = v4.nth(9).unwrap();
            json!([{"subnet": cidr.to_string(), "rangeStart": only, "rangeEnd": only}])
        }
        ipnetwork::IpNetwork::V6(_) => json!([{"subnet": cidr.to_string()}]),
    });
    podnet["ipam"]["ranges"] = json!(ranges);
    podnet
}

#[test]
fn an_add_that_fails_is_undone_by_its_own_del_and_harms_no_other_pod() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        one.containerd.use_conflist(&conflist(of_one_address(one.node)))?;
        let empty = one.node.network()?;
        let first = one.pod("first");
        first.container("server", &[LAB, "serve"]).is_serving();
        let before = one.node.network()?;
        let known = one.containerd.calls().len();

        let error = one.try_pod("second").err().expect("no address is left");
        assert!(error.message().contains("plugin type=\"podlan\" failed (add)"), "{error}");
        assert_eq!(asked_since(&one, known), [("ADD".to_owned(), true), ("DEL".to_owned(), true)]);
        one.is_as(&before)?;
        assert_eq!(one.leases(), first.addresses());
        one.node.reaches(&first.addresses())?;

        let freed = first.addresses();
        first.end();
        let third = one.pod("third");
        assert_eq!(third.addresses()[0], freed[0], "the only IPv4 address serves again");
        third.end();
        one.is_empty_as(&empty)
    });
}

#[test]
fn what_podlan_made_is_undone_when_a_plugin_after_it_fails() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        one.containerd.install_plugin("tuning", &parts.plugin("tuning"));
        let failing = json!({"type": "tuning", "sysctl": {"net.ipv4.there_is_no_such_thing": "1"}});
        one.containerd.use_conflist(&chain(one.node.podnet(), &[failing]))?;
        let before = one.node.network()?;
        let known = one.containerd.calls().len();

        let error = one.try_pod("unlucky").err().expect("a plugin fails");
        assert!(error.message().contains("plugin type=\"tuning\" failed (add)"), "{error}");
        assert_eq!(asked_since(&one, known), [("ADD".to_owned(), true), ("DEL".to_owned(), true)]);
        one.is_empty_as(&before)
    });
}

#[test]
fn a_conflist_is_replaced_while_pods_live_and_they_end_cleanly_under_the_new_one() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let before = one.node.network()?;
        let old = one.pod("old");
        old.container("server", &[LAB, "serve"]).is_serving();

        let mut podnet = one.node.podnet();
        podnet["mtu"] = json!(1400);
        podnet["ipam"]["ranges"] = json!([[{"subnet": "10.244.1.128/25"}]]);
        one.containerd.use_conflist(&conflist(podnet))?;
        one.node.reaches(&old.addresses())?;
        let new = one.pod("new");
        let within_new = |address: &std::net::IpAddr| address.to_string().starts_with("10.244.1.1");
        assert!(new.addresses().len() == 1 && new.addresses().iter().all(within_new), "{:?}", new.addresses());
        let client = new.container("client", &[INSIDE, "pause"]);
        assert_eq!(client.run(&[INSIDE, "read", "/sys/class/net/eth0/mtu"]), "1400");
        old.end();
        new.end();
        one.is_empty_as(&before)
    });
}

/// libcni's DEL uses the network that is configured now, so the old pod's lease stays until the agent finds that its
/// owner is gone; its link and route disappear with its namespace.
#[test]
fn a_network_renamed_while_pods_live_gives_no_living_pods_address_again() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let before = one.node.network()?;
        let old = one.pod("old");
        old.container("server", &[LAB, "serve"]).is_serving();

        let mut podnet = one.node.podnet();
        podnet["name"] = json!("renamed");
        one.containerd.use_conflist(&conflist(podnet))?;
        // As kubelet does: an address with a foreign route is refused, and the next attempt gets the next address.
        let new = (0..3).find_map(|_| one.try_pod("new").ok()).expect("a pod of the renamed network");
        assert!(new.addresses().iter().all(|address| !old.addresses().contains(address)));
        one.node.reaches(&old.addresses())?;
        new.end();
        old.end();
        one.is_as(&before)
    });
}
