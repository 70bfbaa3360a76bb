//! A kernel without NAT in nf_tables: no masquerade and no host ports, and everything else.

use podlan_conformance::lab::{Lab, eventually, within};
use serde_json::json;

use super::rig::{Rig, SOON};

#[test]
fn without_nat_pods_run_and_the_condition_names_the_options() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (rig, podnet) = (Rig::new(node, "nat"), node.podnet());
        let agent = rig.agent(&["--masquerade"])?;
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        let (at_web, at_db) = (rig.add(&web, &podnet)?, rig.add(&db, &podnet)?);
        let _server = db.serve()?;
        web.reaches(&at_web, &at_db.ips())?;
        let found = eventually(SOON, "the agent reports the part", || rig.condition("kernel-nat-missing"))?;
        assert!(found["wrong"].to_string().contains("CONFIG_NFT_NAT"), "{found}");
        assert!(found["why"].to_string().contains("no host ports"), "{found}");
        let rules = node.command("nft").args(["list", "ruleset"]).succeeds()?;
        assert!(rules.contains("fib saddr") && rules.contains("table arp podlan"), "the rest is in place: {rules}");
        assert_eq!(rig.unrepeated_warnings(), Vec::<String>::new(), "{}", agent.stderr());

        let late = node.pod("late")?;
        let before = node.network()?;
        let mut config = podnet;
        config["runtimeConfig"] =
            json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] });
        let refused = rig.call(&late, "ADD", &config)?.complaint()?;
        assert!(refused.code == 104 && refused.text.contains("nft_chain_nat"), "{refused:?}");
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}
