//! The lab is a LAN: its nodes reach each other, and are separate in everything that real nodes have of their own.
//!
//! ```text
//!   node1 172.31.0.1 ──┬── node2 172.31.0.2
//!         fd31::1     lan        fd31::2
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Lab, eventually, within};
use podlan_conformance::traffic::{Answer, Protocol, Target};

#[test]
fn nodes_reach_each_other_at_their_own_addresses() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _servers = [one.serve()?, two.serve()?];
        one.reaches(&two.ips())?;
        two.reaches(&one.ips())?;
        one.reaches(&one.ips())
    });
}

#[test]
fn a_node_has_a_name_and_folders_of_its_own() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        assert_eq!(one.command("uname").arg("-n").succeeds()?.trim(), "node1");
        one.command("mkdir").arg("/run/podlan").succeeds()?;
        two.command("ls").arg("/run/podlan").fails()?;
        assert!(one.path("/run/podlan").is_dir());
        // The directory of libcni's results, for any user of the lab.
        one.command("mkdir").arg("/var/lib/cni/results").succeeds()?;
        two.command("ls").arg("/var/lib/cni/results").fails()?;

        assert!(one.command("cat").arg(Lab::NODES_FILE).succeeds()?.contains("10.244.2.0/24"));
        Ok(())
    });
}

#[test]
fn a_pod_has_only_a_loopback_until_the_plugin_is_called() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let pod = one.pod("web")?;
        assert_eq!(pod.network()?.lines(&["link"]).len(), 1);
        pod.remove()?;
        assert!(pod.network().is_err(), "a removed pod cannot be entered");
        Ok(())
    });
}

#[test]
fn a_pulled_cable_cuts_a_node_off() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _server = two.serve()?;
        let ask = || one.place().ask(&[Target { protocol: Protocol::Udp, address: two.v4() }]);
        assert_eq!(ask()?[0].answer, Answer::Saw(one.v4()));
        two.cable(false)?;
        assert!(matches!(ask()?[0].answer, Answer::Silent(_)));
        two.cable(true)?;
        eventually(Duration::from_secs(10), "node1 reaches node2 again", || {
            one.reaches(&two.ips()).map_err(|error| error.to_string())
        })
    });
}
