//! Changes while pods are running: their node's pod CIDR, and the addresses of the node itself.
//!
//! ```text
//!   node1 (agent: /run/net.d/10-podlan.conflist)
//!     ├── old      10.244.1.x, of the CIDR that the node had
//!     └── new      10.244.101.x, of the one that it has now
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs;
use std::time::Duration;

use podlan_conformance::lab::{Added, Error, Lab, Node, Running, eventually, within};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
/// The agent acts on events only: the test is over before the first resync.
const INSTALL: [&str; 4] = ["--cni-conf-dir", "/run/net.d", "--resync", "1h"];
const NEW_CIDRS: [&str; 2] = ["10.244.101.0/24", "fd00:10:244:101::/64"];

fn agent(node: &Node) -> Result<Running, Error> {
    fs::create_dir_all(node.path("/run/net.d")).unwrap();
    node.agent(&INSTALL)
}

/// The first plugin of the agent's conflist, as a runtime passes it, once `is` accepts it.
fn config(node: &Node, fact: &str, is: impl Fn(&Value) -> bool) -> Result<Value, Error> {
    eventually(SOON, &format!("the conflist {fact}"), || {
        let text = fs::read_to_string(node.path("/run/net.d/10-podlan.conflist")).map_err(|error| error.to_string())?;
        let list: Value = serde_json::from_str(&text).unwrap();
        let mut config = list["plugins"][0].clone();
        config["name"] = list["name"].clone();
        config["cniVersion"] = json!("1.0.0");
        if is(&config) { Ok(config) } else { Err(text) }
    })
}

/// Assigns other pod CIDRs to the node.
fn move_to_new_cidrs(lab: &Lab, node: &Node) -> Result<(), Error> {
    let mut moved = node.as_kubernetes();
    moved["spec"] = json!({ "podCIDRs": NEW_CIDRS });
    lab.write_nodes(&json!({ "kind": "NodeList", "items": [moved] }).to_string())
}

fn is_new(added: &Added) -> bool {
    NEW_CIDRS.iter().zip(&added.addresses).all(|(cidr, address)| {
        let cidr: ipnetwork::IpNetwork = cidr.parse().unwrap();
        cidr.contains(address.ip())
    })
}

/// The unreachable routes of the node's former CIDRs.
fn old_routes(node: &Node) -> Result<usize, Error> {
    let network = node.network()?;
    let of = |cidr: &ipnetwork::IpNetwork| network.lines(&["route", "unreachable", &cidr.to_string(), "110"]).len();
    Ok(node.pod_cidrs().iter().map(of).sum())
}

#[test]
fn a_former_cidr_gives_no_address_keeps_its_pods_and_route_and_goes_with_its_last_pod() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let first = agent(node)?;
        let before = config(node, "is there", |_| true)?;
        let (old, older) = (node.pod("old")?, node.pod("older")?);
        let (at_old, at_older) = (old.add(&before)?, older.add(&before)?);
        let _servers = [old.serve()?, older.serve()?];

        move_to_new_cidrs(&lab, node)?;
        let now = config(node, "has the new CIDRs alone", |config| {
            config["ipam"]["ranges"] == json!([[{ "subnet": NEW_CIDRS[0] }], [{ "subnet": NEW_CIDRS[1] }]])
        })?;
        let new_pods = ["new", "newer", "newest"].map(|name| node.pod(name).unwrap());
        let at_new_pods = new_pods.each_ref().map(|pod| pod.add(&now).unwrap());
        assert!(at_new_pods.iter().all(is_new), "{at_new_pods:?}");
        for at in [&at_old, &at_older] {
            new_pods[0].reaches(&at_new_pods[0], &at.ips())?;
            node.reaches(&at.ips())?;
        }
        assert_eq!(old_routes(node)?, 2, "its unused addresses are unreachable");
        let said = fs::read_to_string(node.path("/run/podlan/verdicts.json")).unwrap();
        assert!(said.contains("draining"), "{said}");

        // An agent that never had the old CIDR.
        first.stop(SOON)?;
        let _agent = agent(node)?;
        eventually(SOON, "the new agent is ready", || {
            let said = fs::read_to_string(node.path("/run/podlan/node.json")).unwrap_or_default();
            if said.contains("\"ready\":true") { Ok(()) } else { Err(said) }
        })?;
        assert_eq!(old_routes(node)?, 2);

        old.del(&now)?;
        new_pods[0].reaches(&at_new_pods[0], &at_older.ips())?;
        assert_eq!(old_routes(node)?, 2, "one is left");
        older.del(&now)?;
        eventually(SOON, "the old CIDR's routes are gone", || match old_routes(node).unwrap() {
            0 => Ok(()),
            left => Err(format!("{left}\n{}", node.network().unwrap())),
        })?;
        let _server = node.serve()?;
        new_pods[0].reaches(&at_new_pods[0], &node.ips())?;
        new_pods.iter().try_for_each(|pod| pod.del(&now))
    });
}

/// A virtual address on `lo` is listed before all others.
#[test]
fn a_node_connects_to_new_pods_from_its_internal_address_whichever_others_it_has() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let _agent = agent(node)?;
        config(node, "leaves the choice to the kernel", |config| config["hostSource"].is_null())?;
        let virtual_ip = |verb: &str| -> Result<(), Error> {
            for address in ["10.99.0.1/32", "fd99::1/128"] {
                node.command("ip").args(["address", verb, address, "dev", "lo"]).succeeds()?;
            }
            Ok(())
        };
        virtual_ip("add")?;
        let internal = json!([node.v4().to_string(), node.v6().to_string()]);
        let named = config(node, "names the internal addresses", |config| config["hostSource"] == internal)?;
        let web = node.pod("web")?;
        let at_web = web.add(&named)?;
        let _server = web.serve()?;
        node.reaches(&at_web.ips())?;

        virtual_ip("del")?;
        config(node, "leaves it to the kernel again", |config| config["hostSource"].is_null())?;
        node.reaches(&at_web.ips())?;
        web.del(&named)
    });
}
