//! A kernel that makes no veth links: no pod can start, and that is said by ADD, the agent and the doctor.

use podlan_conformance::lab::{Lab, eventually, within};

use super::rig::{Rig, SOON};

#[test]
fn without_veth_an_add_names_the_option_and_leaves_nothing_and_so_does_the_condition() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (rig, podnet) = (Rig::new(node, "veth"), node.podnet());
        // The probes' link is a pair too.
        let _agent = rig.agent(&["--probe", "off"])?;
        let (web, before) = (node.pod("web")?, node.network()?);
        let refused = rig.call(&web, "ADD", &podnet)?.complaint()?;
        assert_eq!(refused.code, 104, "{refused:?}");
        assert!(refused.text.contains("CONFIG_VETH") && refused.text.contains("modprobe veth"), "{refused:?}");
        assert_eq!(node.network()?.since(&before), "");
        let found = eventually(SOON, "the agent reports the part", || rig.condition("kernel-part-missing"))?;
        assert!(found["wrong"].to_string().contains("CONFIG_VETH"), "{found}");
        assert!(found["why"].to_string().contains("no pod can start"), "{found}");
        // Nothing is leased by it.
        let leases = rig.ask(&["leases", "--json"])?.stdout;
        assert!(!leases.contains("10.244.1."), "{leases}");
        Ok(())
    });
}
