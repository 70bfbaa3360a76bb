//! A kernel without IPv6: pods have IPv4 as everywhere, and where IPv6 is wanted a condition says why there is none.

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use serde_json::{Value, json};

use super::rig::{Rig, SOON, wrong};

/// No settings of IPv6 below /proc/sys, as the node's programs see it. Those of the packet filter go with them.
const NO_SETTINGS: &str = "
    set -e
    mkdir /run/ipv4
    mount --bind /proc/sys/net/ipv4 /run/ipv4
    mount -t tmpfs tmpfs /proc/sys/net
    mkdir /proc/sys/net/ipv4
    mount --bind /run/ipv4 /proc/sys/net/ipv4
    umount /run/ipv4";

/// A node as the list has it, with what it has of IPv4.
fn v4_of(node: &Node) -> Value {
    let mut item = node.as_kubernetes();
    item["spec"]["podCIDRs"] = json!([item["spec"]["podCIDR"]]);
    let addresses = item["status"]["addresses"].as_array().cloned().unwrap_or_default();
    item["status"]["addresses"] =
        addresses.into_iter().filter(|one| !one["address"].to_string().contains(':')).collect();
    item
}

fn write(lab: &Lab, items: &[Value]) -> Result<(), Error> {
    lab.write_nodes(&json!({ "kind": "NodeList", "items": items }).to_string())
}

#[test]
fn without_ipv6_the_agent_and_the_pods_have_ipv4_and_nothing_is_wrong() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        one.shell(NO_SETTINGS)?;
        write(&lab, &[v4_of(one), v4_of(two)])?;
        let rig = Rig::new(one, "ipv6");
        let agent = rig.agent(&["--masquerade"])?;
        let mut podnet = one.podnet();
        podnet["ipam"]["ranges"] = json!([podnet["ipam"]["ranges"][0]]);
        let (web, db) = (one.pod("web")?, one.pod("db")?);
        let (at_web, at_db) = (rig.add(&web, &podnet)?, rig.add(&db, &podnet)?);
        let _server = db.serve()?;
        web.reaches(&at_web, &at_db.ips())?;
        let checked = rig.check(&web, &podnet, &at_web)?;
        assert!(checked.success(), "{}", checked.report());
        eventually(SOON, "the route to node2 is in", || {
            let network = one.network().map_err(|error| error.to_string())?;
            let cidr = two.pod_cidrs()[0].to_string();
            let found = network.lines(&["route", "unicast", &cidr]).len();
            if found == 1 { Ok(()) } else { Err(format!("{found}: {network}\n{}", agent.stderr())) }
        })?;
        let said = eventually(SOON, "the doctor finds nothing wrong", || {
            let said = rig.doctor().map_err(|error| error.to_string())?;
            if wrong(&said).is_empty() { Ok(said) } else { Err(said.to_string()) }
        })?;
        assert!(said.to_string().contains("ipv6 (pods can have IPv4 alone)"), "{said}");
        assert_eq!(rig.unrepeated_warnings(), Vec::<String>::new(), "{}", agent.stderr());
        rig.collect(&web, &podnet, &[&web])?;
        assert!(!db.network()?.to_string().contains("eth0"), "GC removes what is not listed");
        let deleted = rig.call(&web, "DEL", &podnet)?;
        assert!(deleted.success(), "{}", deleted.report());
        Ok(())
    });
}

#[test]
fn where_pods_are_to_have_ipv6_the_condition_and_the_add_say_that_the_kernel_has_none() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.shell(NO_SETTINGS)?;
        let rig = Rig::new(node, "ipv6");
        let _agent = rig.spawn(&[])?;
        let found = eventually(SOON, "the agent reports it", || rig.condition("ipv6-off"))?;
        assert!(found["cure"].to_string().contains("ipv6.disable=1"), "{found}");
        assert!(found["cure"].to_string().contains("CONFIG_IPV6"), "{found}");
        let (web, before) = (node.pod("web")?, node.network()?);
        let refused = rig.call(&web, "ADD", &node.podnet())?.complaint()?;
        assert!(refused.text.contains("ipv6.disable=1"), "{refused:?}");
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}
