//! What the node's store has leased, and to whom.

use std::collections::BTreeSet;

use podlan_conformance::lab::{Error, Node};
use serde_json::Value;

use crate::build::Build;
use crate::runtime::Attached;

/// Each living attachment has its addresses, each address one owner, and nobody else has any, as this build lists them.
pub(crate) fn are_of(build: &Build, node: &Node, living: &[&Attached<'_>]) -> Result<(), Error> {
    let said = build.node(node, &["leases", "--json"]).succeeds()?;
    let listed: Vec<Value> = serde_json::from_str(&said).unwrap_or_default();
    let text = |lease: &Value, key: &str| lease[key].as_str().unwrap_or_default().to_owned();
    let leased: Vec<(String, String)> =
        listed.iter().map(|lease| (text(lease, "containerId"), text(lease, "address"))).collect();
    let unique: BTreeSet<&String> = leased.iter().map(|(_, address)| address).collect();
    assert_eq!(unique.len(), leased.len(), "an address is leased twice: {leased:?}");
    let of_pod = |attached: &&Attached<'_>| {
        let (name, addresses) = (attached.pod.name().to_owned(), attached.added.ips());
        addresses.into_iter().map(move |address| (name.clone(), address.to_string()))
    };
    let expected: BTreeSet<(String, String)> = living.iter().flat_map(of_pod).collect();
    assert_eq!(leased.into_iter().collect::<BTreeSet<_>>(), expected, "leases of {}", node.name());
    Ok(())
}
