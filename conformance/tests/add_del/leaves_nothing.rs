//! ADD then DEL leaves the node and the pod as they were, whatever happened to the pod in between.
//!
//! ```text
//!   node1
//!     └── web 10.244.1.x, added and deleted
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, Pod, Snapshot, eventually, within};
use serde_json::{Value, json};

/// Waits until the node is as it was before: a link takes a moment to disappear with its namespace.
fn is_as_before(node: &Node, before: &Snapshot) -> Result<(), Error> {
    eventually(Duration::from_secs(5), "the node is as it was before", || {
        let difference = node.network().map_err(|error| error.to_string())?.since(before);
        if difference.is_empty() { Ok(()) } else { Err(difference) }
    })
}

/// A network with room for one pod: a pod that gets an address proves that the previous one released it.
fn room_for_one(node: &Node) -> Value {
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/30" }], [{ "subnet": "fd00:10:244:1::/126" }]]);
    config
}

fn another_pod_fits(node: &Node, config: &Value) -> Result<(), Error> {
    let next = node.pod("next")?;
    next.add(config)?;
    next.del(config)
}

/// Adds a pod, runs `end` on it, and checks that nothing of it is left.
fn after(end: impl FnOnce(&Pod<'_>, &Value) -> Result<(), Error>) -> Result<(), Error> {
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let before = node.network()?;
    let config = room_for_one(node);
    let web = node.pod("web")?;
    web.add(&config)?;
    end(&web, &config)?;
    is_as_before(node, &before)?;
    another_pod_fits(node, &config)
}

#[test]
fn del_leaves_the_node_and_the_pod_as_they_were() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = room_for_one(node);
        let web = node.pod("web")?;
        // Once before, for what the first ADD switches on for good: the pod's loopback.
        web.add(&config)?;
        web.del(&config)?;
        let (node_before, pod_before) = (node.network()?, web.network()?);
        web.add(&config)?;
        web.del(&config)?;
        is_as_before(node, &node_before)?;
        assert_eq!(web.network()?.since(&pod_before), "");
        assert_eq!(pod_before.lines(&["link"]).len(), 1, "only the loopback:\n{pod_before}");
        Ok(())
    });
}

#[test]
fn del_can_be_repeated() {
    within(|| {
        after(|web, config| {
            web.del(config)?;
            web.del(config)
        })
    });
}

#[test]
fn del_with_an_empty_netns_cleans_the_node_side() {
    within(|| after(|web, config| web.cni("DEL", "eth0", config)?.env("CNI_NETNS", "").succeeds().map(drop)));
}

#[test]
fn del_without_a_netns_cleans_the_node_side() {
    within(|| after(|web, config| web.cni("DEL", "eth0", config)?.without_env("CNI_NETNS").succeeds().map(drop)));
}

#[test]
fn del_after_the_netns_is_gone_succeeds() {
    within(|| {
        after(|web, config| {
            web.remove()?;
            web.del(config)
        })
    });
}

#[test]
fn del_with_a_netns_that_is_a_plain_file_succeeds() {
    within(|| {
        after(|web, config| web.cni("DEL", "eth0", config)?.env("CNI_NETNS", Lab::NODES_FILE).succeeds().map(drop))
    });
}

#[test]
fn del_after_the_workload_removed_its_link_succeeds() {
    within(|| {
        after(|web, config| {
            web.place().remove_link("eth0")?;
            web.del(config)
        })
    });
}

#[test]
fn del_with_a_changed_config_releases_by_the_attachment() {
    within(|| {
        after(|web, config| {
            let mut changed = config.clone();
            changed["ipam"]["ranges"] = json!([[{ "subnet": "10.99.0.0/24" }]]);
            web.del(&changed)
        })
    });
}

#[test]
fn del_of_a_pod_that_was_never_added_succeeds_and_makes_no_store() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let before = node.network()?;
        node.pod("web")?.del(&node.podnet())?;
        assert_eq!(node.network()?.since(&before), "");
        assert!(!node.path("/run/podlan").exists(), "DEL should not make a store");
        Ok(())
    });
}

#[test]
fn del_never_touches_the_nodes_own_link() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let before = node.network()?;
        let web = node.pod("web")?;
        web.cni("DEL", "eth0", &node.podnet())?.env("CNI_NETNS", "/proc/self/ns/net").succeeds()?;
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}

#[test]
fn del_leaves_the_other_pod_alone() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        let at_db = db.add(&node.podnet())?;
        let before = node.network()?;
        web.add(&node.podnet())?;
        web.del(&node.podnet())?;
        is_as_before(node, &before)?;
        let _server = node.serve()?;
        db.reaches(&at_db, &node.ips())
    });
}
