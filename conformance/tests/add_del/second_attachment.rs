//! A pod with two attachments answers at both of its addresses from everywhere, and is seen at the address that it
//! sends from.
//!
//! ```text
//!   node1 ─────────────────────────┬──── node2
//!     ├── web eth0 10.244.1.0/25  lan      └── far 10.244.2.x
//!     │       net1 10.244.1.128/25
//!     └── near 10.244.1.y
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Lab, Node, eventually, within};
use serde_json::{Value, json};

/// The node's network, reduced to the first half of its pod CIDRs, and a second network with the other half.
fn two_networks(node: &Node) -> [Value; 2] {
    let number = node.pod_cidrs()[0].to_string().split('.').nth(2).unwrap_or_default().to_owned();
    let network = |name: &str, v4: &str, v6: &str| {
        json!({
            "cniVersion": "1.0.0", "name": name, "type": "podlan",
            "ipam": { "type": "podlan-ipam", "ranges": [
                [{ "subnet": format!("10.244.{number}.{v4}/25") }],
                [{ "subnet": format!("fd00:10:244:{number}:{v6}::/80") }],
            ] },
        })
    };
    [network("podnet", "0", "1"), network("second", "128", "2")]
}

#[test]
fn both_addresses_of_a_pod_answer_from_everywhere() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agents = [one.agent(&[])?, two.agent(&[])?];
        let [podnet, second] = two_networks(one);
        let (web, near, far) = (one.pod("web")?, one.pod("near")?, two.pod("far")?);
        let at_first = web.add(&podnet)?;
        let at_second = web.add_as("net1", &second)?;
        let (at_near, at_far) = (near.add(&podnet)?, far.add(&two.podnet())?);
        let _servers = [web.serve()?, near.serve()?, far.serve()?, one.serve()?, two.serve()?];
        eventually(Duration::from_secs(10), "the agents connect the nodes", || {
            far.reaches(&at_far, &at_first.ips()).map_err(|error| error.to_string())
        })?;

        let both = [at_first.ips(), at_second.ips()].concat();
        near.reaches(&at_near, &both)?;
        far.reaches(&at_far, &both)?;
        one.reaches(&both)?;
        two.reaches(&both)?;
        web.reaches(&at_first, &[at_near.ips(), at_far.ips(), one.ips(), two.ips()].concat())?;

        for own in at_second.ips() {
            for others in [at_near.ips(), at_far.ips(), one.ips(), two.ips()] {
                for other in others.into_iter().filter(|other| other.is_ipv4() == own.is_ipv4()) {
                    let target = |protocol: &str| format!("{protocol}={other}");
                    let ask = web.lab(&[
                        "probe",
                        "--from",
                        &own.to_string(),
                        &target("tcp"),
                        &target("udp"),
                        &target("icmp"),
                    ])?;
                    let said = ask.succeeds()?;
                    assert_eq!(said.matches(&format!("saw {own}\n")).count(), 3, "{said}");
                }
            }
        }

        web.del_as("net1", &second)?;
        near.reaches(&at_near, &at_first.ips())?;
        web.del(&podnet)
    });
}

#[test]
fn the_attachments_are_deleted_one_by_one_in_any_order() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let before = node.network()?;
        let [podnet, second] = two_networks(node);
        let (web, near) = (node.pod("web")?, node.pod("near")?);
        web.add(&podnet)?;
        let at_second = web.add_as("net1", &second)?;
        let at_near = near.add(&podnet)?;
        let _servers = [web.serve()?, near.serve()?];
        web.del(&podnet)?;
        near.reaches(&at_near, &at_second.ips())?;
        web.del_as("net1", &second)?;
        near.del(&podnet)?;
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}
