//! `podlan-node doctor --kernel`, on a node where nothing of podlan is installed.

use podlan_conformance::lab::{Error, Lab, binaries, within};
use serde_json::Value;

use super::rig::{Rig, wrong};

/// What the kernel lacks; which part is named, with which word; what is printed of it; the exit code.
const FEATURES: [(&str, &str, &str, &str, bool); 8] = [
    ("strict-checking", "strict-checking", "moot", "Linux 4.20", true),
    ("inet-nat", "inet-nat", "moot", "families ip and ip6", true),
    ("nfnetlink", "nf_tables", "wrong", "CONFIG_NF_TABLES", false),
    ("nf-tables", "nf_tables", "wrong", "CONFIG_NF_TABLES", false),
    ("nft-fib", "nft_fib", "wrong", "CONFIG_NFT_FIB_INET", false),
    ("nat", "nat", "wrong", "CONFIG_NFT_NAT", false),
    ("veth", "veth", "wrong", "CONFIG_VETH", false),
    ("nft-fib,veth", "veth", "wrong", "no pod can start", false),
];

fn part<'a>(said: &'a Value, name: &str) -> &'a Value {
    let mut checks = said["checks"].as_array().into_iter().flatten();
    checks.find(|check| check["check"] == name).unwrap_or(&Value::Null)
}

#[test]
fn each_part_that_a_kernel_lacks_is_named_before_anything_is_installed_and_nothing_is_changed() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let ask = |more: &[&str]| -> Result<_, Error> {
            Ok(node.command(binaries::find("podlan-node")?).args(["doctor", "--kernel"]).args(more))
        };
        let before = node.network()?;
        let whole = ask(&[])?.succeeds()?;
        assert!(whole.ends_with("nothing is wrong\n") && whole.contains("CONFIG_VETH (module veth)"), "{whole}");
        for (lacks, name, state, word, well) in FEATURES {
            let output = Rig::new(node, lacks).ask(&["doctor", "--kernel", "--json"])?;
            let said: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
            let found = part(&said, name);
            assert_eq!(found["state"], state, "{lacks}: {said}");
            assert!(
                found.to_string().contains(word) && output.success() == well && said["ok"] == well,
                "{lacks}: {said}"
            );
            assert_eq!(wrong(&said).len(), if well { 0 } else { lacks.split(',').count() }, "{lacks}: {said}");
        }
        let text = Rig::new(node, "nft-fib").ask(&["doctor", "--kernel"])?.stdout;
        assert!(text.contains("why:  a pod can send with the address of another pod or node"), "{text}");
        assert_eq!(node.command("nft").args(["list", "ruleset"]).succeeds()?, "");
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}

#[test]
fn who_may_not_ask_the_kernel_is_told_so() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let command = node.command(binaries::find("podlan-node")?).args(["doctor", "--kernel"]);
        let output = command.under("setpriv", ["--bounding-set=-all", "--inh-caps=-all"]).run()?;
        assert_eq!(output.status.and_then(|status| status.code()), Some(2), "{}", output.report());
        assert!(output.stdout.contains("unknown") && output.stdout.contains("EPERM"), "{}", output.stdout);
        Ok(())
    });
}
