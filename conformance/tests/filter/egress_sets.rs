//! The masquerade's sets follow the options and the list of nodes, however large the change: an exception that covers
//! what a thousand elements named before, and back. The agent's own changes are not reported as those of other
//! programs.
//!
//! ```text
//!   node1 (agent) ─── lan, and five hundred nodes that are in the list only
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use podlan_conformance::cluster;
use podlan_conformance::lab::{Error, Lab, Node, Running, binaries, eventually, skip, within};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

/// nft(8), which shows the kernel's state; without it the test is skipped.
fn nft() -> Option<&'static str> {
    let found = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        skip("missing nft: apt-get install nftables");
    }
    found
}

/// A node of the list whose pod CIDRs and addresses are within 10.0.0.0/8 and fd00::/8.
fn far(number: u16) -> Value {
    let [a, b] = number.to_be_bytes();
    json!({
        "metadata": { "name": format!("far{number}") },
        "spec": { "podCIDRs": [format!("10.{}.{b}.0/24", 16 + a), format!("fd11:0:0:{number:x}::/64")] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": format!("10.200.{a}.{b}") },
            { "type": "InternalIP", "address": format!("fd12::{number:x}") },
        ] },
    })
}

/// A node outside of both.
fn late() -> Value {
    json!({
        "metadata": { "name": "late" },
        "spec": { "podCIDRs": ["11.0.7.0/24", "2001:db8:7::/64"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "12.0.0.7" }] },
    })
}

fn list(lab: &Lab, items: impl IntoIterator<Item = Value>) -> Result<(), Error> {
    let own = lab.nodes().iter().map(Node::as_kubernetes);
    cluster::list(lab, &own.chain(items).collect::<Vec<_>>())
}

/// The first addresses of the subnets in a set.
fn members(node: &Node, nft: &str, set: &str) -> Result<BTreeSet<String>, Error> {
    let output = node.command(nft).args(["-j", "list", "set", "inet", "podlan-masquerade", set]).run()?;
    let value: Value = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    let objects = value["nftables"].as_array().cloned().unwrap_or_default();
    let elements = objects.iter().filter_map(|object| object["set"]["elem"].as_array()).flatten();
    let first = |element: &Value| {
        let text = element.as_str().or(element["prefix"]["addr"].as_str()).or(element["range"][0].as_str());
        text.unwrap_or_default().to_owned()
    };
    Ok(elements.map(first).collect())
}

/// Waits until both sets have these numbers of members, with the given one in each.
fn become_so(node: &Node, nft: &str, agent: &Running, counts: [usize; 2], ones: [&str; 2]) -> Result<(), Error> {
    eventually(SOON, &format!("{counts:?} subnets are in the sets, {ones:?} among them"), || {
        for ((set, count), one) in ["inside4", "inside6"].iter().zip(counts).zip(ones) {
            let members = members(node, nft, set).map_err(|error| error.to_string())?;
            if members.len() != count || !members.contains(one) {
                return Err(format!("{set} has {}: {members:?}\n{}", members.len(), agent.stderr()));
            }
        }
        Ok(())
    })
}

fn warnings(node: &Node) -> Result<Value, Error> {
    let output = node.command(binaries::find("podlan-node")?).args(["status", "--json"]).run()?;
    let status: Value = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    Ok(status["warnings"].clone())
}

#[test]
fn an_exception_that_replaces_a_thousand_elements_is_added_and_removed_and_a_node_that_joins_is_in_the_set() {
    let Some(nft) = nft() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        list(&lab, (0..500).map(far))?;
        // 500 nodes with a CIDR and an address each, this node's own two, multicast.
        let narrow = [1003, 1003];
        // One element in the place of a thousand and of this node's CIDR; its address, multicast.
        let wide = [3, 3];
        let exceptions = ["--no-masquerade-to", "10.0.0.0/8,fd00::/8"];
        for round in 0..2 {
            let agent = node.agent(&["--masquerade"])?;
            become_so(node, nft, &agent, narrow, ["10.17.243.0", "fd11:0:0:1f3::"])?;
            assert_eq!(said_of_disturbance(agent)?, Vec::<String>::new(), "round {round}, narrow");

            let agent = node.agent(&["--masquerade", exceptions[0], exceptions[1]])?;
            // The address of this node in fd31::/64 is within fd00::/8 too.
            become_so(node, nft, &agent, [wide[0], 2], ["10.0.0.0", "fd00::"])?;
            list(&lab, (0..500).map(far).chain([late()]))?;
            become_so(node, nft, &agent, [wide[0] + 2, 3], ["11.0.7.0", "2001:db8:7::"])?;
            assert_eq!(warnings(node)?, json!([]));
            list(&lab, (0..500).map(far))?;
            become_so(node, nft, &agent, [wide[0], 2], ["10.0.0.0", "fd00::"])?;
            assert_eq!(said_of_disturbance(agent)?, Vec::<String>::new(), "round {round}, wide");
        }
        Ok(())
    });
}

/// Stops the agent; returns what it logged about other programs that change its rules, or about missing rules.
fn said_of_disturbance(agent: Running) -> Result<Vec<String>, Error> {
    let said = agent.stop(Duration::from_secs(5))?.stderr;
    let about = |line: &&str| line.contains("our rules") || line.contains("not in place");
    Ok(said.lines().filter(about).map(str::to_owned).collect())
}

#[test]
fn a_full_set_is_created_again() {
    let Some(nft) = nft() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let agent = node.agent(&["--masquerade"])?;
        become_so(node, nft, &agent, [3, 3], ["10.244.1.0", "fd00:10:244:1::"])?;
        agent.stop(Duration::from_secs(5))?;
        // Another program that rewrote the table gave the set a size: it accepts no more elements.
        let script = "delete table inet podlan-masquerade
            add table inet podlan-masquerade
            add set inet podlan-masquerade inside4 { type ipv4_addr; flags interval; size 4; }";
        node.command(nft).args(["-f", "-"]).stdin(script).succeeds()?;
        list(&lab, (0..20).map(far))?;
        let agent = node.agent(&["--masquerade"])?;
        become_so(node, nft, &agent, [43, 43], ["10.16.19.0", "fd11:0:0:13::"])?;
        assert_eq!(warnings(node)?, json!([]));
        Ok(())
    });
}
