//! The list of nodes.

use crate::row::{Fault, Row};
use crate::stage::Options;

const THREE: Options = Options { nodes: 3, ..Options::PLAIN };

/// Changes the list in place, as an editor does.
macro_rules! sed {
    ($expression:literal) => {
        Fault::on_node(
            concat!("cp /run/lab/nodes.json /run/nodes.good\nsed -i '", $expression, "' /run/lab/nodes.json"),
            "cp /run/nodes.good /run/lab/nodes.json",
        )
    };
}

/// This node alone.
const ALONE: &str = r#"cp /run/lab/nodes.json /run/nodes.good
echo '{"apiVersion":"v1","kind":"NodeList","items":[{"metadata":{"name":"node1"},"spec":{"podCIDRs":["10.244.1.0/24","fd00:10:244:1::/64"]},"status":{"addresses":[{"type":"InternalIP","address":"172.31.0.1"},{"type":"InternalIP","address":"fd31::1"}]}}]}' > /run/lab/nodes.json"#;

rows! {
    the_list_cannot_be_read: Row {
        broken: "the list of nodes cannot be read",
        fault: sed!("1s/^/{/"),
        kind: "node-list-unreadable",
        names: &["/run/lab/nodes.json"],
        ..Row::PLAIN
    };
    the_list_loses_the_other_nodes: Row {
        broken: "the list of nodes suddenly has no other node",
        fault: Fault::on_node(ALONE, "cp /run/nodes.good /run/lab/nodes.json"),
        kind: "withdrawal-held",
        names: &["withdraw 2 of 2"],
        ..Row::PLAIN
    };
    two_nodes_with_one_cidr: Row {
        broken: "two nodes are listed with one pod CIDR",
        options: THREE,
        fault: sed!("s/10[.]244[.]3[.]0/10.244.2.0/g"),
        kind: "node-conflict",
        names: &["10.244.2.0/24", "node3"],
        ..Row::PLAIN
    };
    a_cidr_that_is_none: Row {
        broken: "a node is listed with a pod CIDR that is none",
        options: THREE,
        fault: sed!("s,10[.]244[.]3[.]0/24,10.244.3.0/44,g"),
        kind: "node-malformed",
        names: &["node3", "10.244.3.0/44"],
        ..Row::PLAIN
    };
    a_node_loses_its_address: Row {
        broken: "a listed node no longer has an address",
        options: THREE,
        fault: sed!("s/InternalIP\",\"address\":\"172[.]31[.]0[.]3/Hostname\",\"address\":\"172.31.0.3/; s/address\":\"172[.]31[.]0[.]3\",\"type\":\"InternalIP/address\":\"172.31.0.3\",\"type\":\"Hostname/"),
        kind: "node-not-listed",
        names: &["node3", "172.31.0.3"],
        ..Row::PLAIN
    };
}
