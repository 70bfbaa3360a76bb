//! A kernel without the expression `fib` (Talos before 1.8, some WSL2 kernels): no source rule, and everything else.

use podlan_conformance::lab::{Lab, eventually, within};
use serde_json::json;

use super::rig::{Rig, SOON, wrong};

#[test]
fn without_fib_pods_run_and_the_condition_names_the_option_and_what_is_not_defended() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (rig, podnet) = (Rig::new(node, "nft-fib"), node.podnet());
        let agent = rig.agent(&["--masquerade"])?;
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        let (at_web, at_db) = (rig.add(&web, &podnet)?, rig.add(&db, &podnet)?);
        let _server = db.serve()?;
        web.reaches(&at_web, &at_db.ips())?;
        let found = eventually(SOON, "the agent reports the part", || rig.condition("kernel-part-missing"))?;
        assert!(found["wrong"].to_string().contains("CONFIG_NFT_FIB_INET"), "{found}");
        assert!(found["why"].to_string().contains("the address of another pod or node"), "{found}");
        assert!(found["cure"].to_string().contains("modprobe nft_fib_inet"), "{found}");
        let rules = node.command("nft").args(["list", "ruleset"]).succeeds()?;
        assert!(rules.contains("table arp podlan") && rules.contains("masquerade"), "the rest is in place: {rules}");
        assert!(!rules.contains("fib saddr"), "{rules}");
        let said = rig.doctor()?;
        let wrong = wrong(&said);
        assert_eq!(wrong.iter().map(|one| &one["check"]).collect::<Vec<_>>(), [&json!("kernel")], "{said}");
        assert_eq!(rig.unrepeated_warnings(), Vec::<String>::new(), "{}", agent.stderr());
        Ok(())
    });
}
