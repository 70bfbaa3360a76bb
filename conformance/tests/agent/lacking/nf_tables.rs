//! A kernel without nf_tables, or without netfilter's netlink family at all: routes and pods, and no rule of any kind.

use podlan_conformance::lab::{Lab, Node, eventually, within};

use super::rig::{Rig, SOON};

fn pods_and_routes_without(node: &Node, features: &'static str) -> Result<(), podlan_conformance::lab::Error> {
    let (rig, podnet) = (Rig::new(node, features), node.podnet());
    let agent = rig.agent(&["--masquerade"])?;
    let (web, db) = (node.pod("web")?, node.pod("db")?);
    let (at_web, at_db) = (rig.add(&web, &podnet)?, rig.add(&db, &podnet)?);
    let _server = db.serve()?;
    web.reaches(&at_web, &at_db.ips())?;
    for (pod, at) in [(&web, &at_web), (&db, &at_db)] {
        let checked = rig.check(pod, &podnet, at)?;
        assert!(checked.success(), "{}", checked.report());
    }
    let found = eventually(SOON, "the agent reports the part", || rig.condition("kernel-part-missing"))?;
    assert!(found["wrong"].to_string().contains("CONFIG_NF_TABLES"), "{found}");
    for lost in ["the address of another pod or node", "ARP", "host ports", "masqueraded", "other programs"] {
        assert!(found["why"].to_string().contains(lost), "{lost}: {found}");
    }
    let said = rig.doctor()?.to_string();
    assert!(said.contains("kernel-part-missing") && !said.contains("source-rule-missing"), "{said}");
    assert_eq!(rig.unrepeated_warnings(), Vec::<String>::new(), "{}", agent.stderr());
    let deleted = rig.call(&web, "DEL", &podnet)?;
    assert!(deleted.success(), "{}", deleted.report());
    rig.collect(&web, &podnet, &[])?;
    drop(agent);
    let cleaned = rig.ask(&["cleanup"])?;
    assert!(cleaned.success(), "{}", cleaned.report());
    Ok(())
}

#[test]
fn without_nf_tables_pods_run_and_the_condition_says_what_is_not_defended() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        pods_and_routes_without(node, "nf-tables")
    });
}

#[test]
fn without_netfilters_netlink_family_it_is_the_same() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        pods_and_routes_without(node, "nfnetlink")
    });
}
