//! Every node has 169.254.1.1, the pods' gateway, on its pod links; no other host of the LAN gets an answer for it.
//!
//! ```text
//!   node1 (agent) ── lan ──┬── node2, resolves it before there is an agent
//!     └── web              └── node3, resolves it afterwards
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, within};

const GATEWAY: &str = "169.254.1.1";

/// Whether a host on the LAN answers `node` at the gateway's address.
fn is_answered(node: &Node) -> Result<bool, Error> {
    Ok(node.command(binaries::lab()?).args(["ping", GATEWAY]).run()?.success())
}

#[test]
fn a_node_does_not_answer_the_lan_for_the_pods_gateway_and_its_pods_keep_it() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, before, after] = lab.these();
        let web = one.pod("web")?;
        web.add(&one.podnet())?;
        for host in [before, after] {
            host.command("ip").args(["route", "add", GATEWAY, "dev", "eth0"]).succeeds()?;
        }
        assert!(is_answered(before)?, "without the agent the node answers every host");
        let _agent = one.agent(&[])?;
        eventually(Duration::from_secs(10), "the agent guards ARP", || {
            let tables = one.command("nft").args(["list", "tables"]).succeeds().map_err(|error| error.to_string())?;
            if tables.contains("table arp podlan") { Ok(()) } else { Err(tables) }
        })?;
        assert!(!is_answered(after)?, "with it no host answers");
        // The node's sysctls are as they were: it answers for its own address, and pods reach their gateway.
        assert!(after.command(binaries::lab()?).args(["ping", &one.v4().to_string()]).run()?.success());
        assert!(web.lab(&["ping", GATEWAY])?.run()?.success());
        Ok(())
    });
}
