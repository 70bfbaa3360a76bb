//! `podlan-node leases --release ADDRESS`: never the address of a pod whose link or namespace lives; otherwise it is free.
//!
//! ```text
//!   node1 (no agent)
//!     └── web    loses its link, then its namespace, without a DEL
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, Output, binaries, eventually, within};
use serde_json::{Value, json};

fn leases(node: &Node, arguments: &[&str]) -> Result<Output, Error> {
    node.command(binaries::find("podlan-node")?).arg("leases").args(arguments).run()
}

fn code(output: &Output) -> Option<i32> {
    output.status.and_then(|status| status.code())
}

fn addresses(node: &Node) -> Result<Vec<String>, Error> {
    let text = leases(node, &["--json"])?.stdout;
    let lines: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let lines = lines.as_array().into_iter().flatten();
    Ok(lines.filter_map(|line| line["address"].as_str().map(str::to_owned)).collect())
}

/// The release fails with this code and these words, and the lease stays.
fn is_refused(node: &Node, arguments: &[&str], expected: i32, words: &[&str]) -> Result<(), Error> {
    let before = addresses(node)?;
    let output = leases(node, &[&["--release"], arguments].concat())?;
    assert_eq!(code(&output), Some(expected), "{}", output.report());
    for word in words {
        assert!(output.stderr.contains(word), "{word} is missing in {}", output.report());
    }
    assert_eq!(addresses(node)?, before, "a refused release changed the leases");
    Ok(())
}

/// The names of the pods' host links.
fn pod_links(node: &Node) -> Result<Vec<String>, Error> {
    let network = node.network()?;
    let names = network.lines(&["link", "veth"]).into_iter().filter_map(|line| line.split(' ').nth(1));
    Ok(names.filter(|name| name.starts_with("podl")).map(str::to_owned).collect())
}

/// The kernel removes the links of a deleted namespace a moment later.
fn no_pod_link(node: &Node) -> Result<(), Error> {
    eventually(Duration::from_secs(20), "the pod's link is gone", || {
        let links = pod_links(node).map_err(|error| error.to_string())?;
        if links.is_empty() { Ok(()) } else { Err(format!("{links:?}")) }
    })
}

#[test]
fn an_address_is_released_by_its_operator_only_once_link_and_namespace_of_its_pod_are_gone() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        let at = web.add(&node.podnet())?;
        let [v4, v6] = [at.v4()?.to_string(), at.v6()?.to_string()];
        let links = pod_links(node)?;
        assert_eq!(links.len(), 1);

        is_refused(node, &[&v4], 1, &["its link", &links[0], "delete the pod"])?;
        let said = leases(node, &["--release", &v4, "--json"])?;
        let value: Value = serde_json::from_str(&said.stdout).unwrap_or(Value::Null);
        assert!(value["released"].is_null() && value["error"].to_string().contains("its link"), "{}", said.report());
        web.place().remove_link("eth0")?;
        is_refused(node, &[&v4], 1, &["its network namespace", "web"])?;
        web.remove()?;
        is_refused(node, &["192.0.2.1"], 1, &["is not leased"])?;
        is_refused(node, &[&v4, "--network", "elsewhere"], 1, &["is not leased"])?;

        let released = leases(node, &["--release", &v4])?;
        assert!(released.success() && released.stdout.contains(&format!("released {v4}")), "{}", released.report());
        assert_eq!(addresses(node)?, *std::slice::from_ref(&v6), "the other address of the pod is a lease of its own");
        let released = leases(node, &["--release", &v6, "--network", "podnet", "--json"])?;
        let value: Value = serde_json::from_str(&released.stdout).unwrap_or(Value::Null);
        assert_eq!(value["released"]["address"], json!(v6), "{}", released.report());
        assert_eq!(addresses(node)?, [""; 0]);
        is_refused(node, &[&v4], 1, &["is not leased"])
    });
}

#[test]
fn an_address_that_two_networks_lease_is_released_in_the_one_that_is_named() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (one, other) = (node.pod("one")?, node.pod("other")?);
        let at = one.add(&node.podnet())?;
        one.remove()?;
        no_pod_link(node)?;
        let mut config = node.podnet();
        config["name"] = json!("old");
        other.add(&config)?;
        other.remove()?;
        no_pod_link(node)?;
        let v4 = at.v4()?.to_string();
        assert_eq!(addresses(node)?.iter().filter(|address| **address == v4).count(), 2);
        is_refused(node, &[&v4], 1, &["old", "podnet", "--network"])?;
        let released = leases(node, &["--release", &v4, "--network", "old"])?;
        assert!(released.success(), "{}", released.report());
        assert_eq!(addresses(node)?.iter().filter(|address| **address == v4).count(), 1);
        Ok(())
    });
}
