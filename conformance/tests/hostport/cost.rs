//! What host ports cost a pod that has none: nothing in ADD, one look for a record in DEL, no message to the packet filter in
//! either.

use std::fs;

use podlan_conformance::lab::{Error, Lab, has_strace, within};
use serde_json::json;

use crate::rig::{mapping, with_ports};

#[test]
fn a_pod_without_a_host_port_pays_nothing_for_those_of_others() {
    within(|| {
        if !has_strace() {
            return Ok(());
        }
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        one.pod("web")?.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        let pod = one.pod("plain")?;
        let calls = |verb: &str, config| -> Result<String, Error> {
            let strace = ["-f", "-qq", "-o", "/run/trace"];
            pod.cni(verb, "eth0", &config)?.under("strace", strace).succeeds()?;
            fs::read_to_string(one.path("/run/trace")).map_err(Error::system("read what strace wrote"))
        };
        let count = |trace: &str, word: &str| trace.lines().filter(|line| line.contains(word)).count();
        for (verb, looks) in [("ADD", 0), ("DEL", 1)] {
            let trace = calls(verb, one.podnet())?;
            assert_eq!(count(&trace, "_hostports"), looks, "{verb}");
            assert_eq!(count(&trace, "NETLINK_NETFILTER"), 0, "{verb}");
        }
        let with = with_ports(one, &json!([mapping("tcp", 8081)]));
        let trace = calls("ADD", with)?;
        println!("an ADD with a host port: {} system calls", trace.lines().count());
        assert_eq!(count(&trace, "NETLINK_NETFILTER"), 1);
        assert_eq!(count(&calls("DEL", one.podnet())?, "NETLINK_NETFILTER"), 1);
        Ok(())
    });
}
