//! A pod that was added by a list with portmap, under a list without it: after the upgrade from a podlan that chained it.
//! With the real portmap: `conformance/tests/upgrade`, and `TestHostPort` of the harness.

use podlan_conformance::lab::{Lab, within};
use serde_json::json;

use crate::rig::{mapping, with_ports};

/// portmap's rule by nft, whose comment is the container id.
fn rule_of(container: &str) -> String {
    format!(
        "nft 'add table ip cni_hostport; add chain ip cni_hostport hostports; flush chain ip cni_hostport hostports; \
         add rule ip cni_hostport hostports tcp dport 8080 counter comment \"{container}\"'"
    )
}

#[test]
fn check_leaves_to_portmap_the_ports_that_portmap_has_mapped_for_this_container() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let web = one.pod("web")?;
        let added = web.add(&one.podnet())?;
        let mut config = with_ports(one, &json!([mapping("tcp", 8080)]));
        config["prevResult"] = added.result.clone();
        let is_missing = || -> Result<(), podlan_conformance::lab::Error> {
            let complaint = web.cni("CHECK", "eth0", &config)?.fails()?.complaint()?;
            assert!(complaint.code == 105 && complaint.text.contains("the record of its host ports is missing"));
            Ok(())
        };
        is_missing()?;
        one.shell(&rule_of("another"))?;
        is_missing()?;
        one.shell(&rule_of("web"))?;
        web.cni("CHECK", "eth0", &config)?.succeeds()?;
        web.del(&config)?;
        assert!(!one.shell("nft list ruleset")?.contains("web"));
        Ok(())
    });
}
