//! Reference plugins after podlan, as a runtime chains them.

use podlan_conformance::lab::{Lab, PORT, binaries, within};
use serde_json::json;

use super::parts::Parts;
use super::rig::{LAB, Rig, chain};

const HOST_PORT: u16 = 30777;

#[test]
fn a_host_port_without_portmap_reaches_the_pod_and_is_gone_with_it() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one, two] = rig.workers();
        let mut podnet = one.node.podnet();
        podnet["capabilities"] = json!({"portMappings": true});
        one.containerd.use_conflist(&chain(podnet, &[]))?;
        let before = one.node.network()?;
        let pod = one.pod_with_host_port("web", HOST_PORT, PORT);
        pod.container("server", &[LAB, "serve"]).is_serving();
        let probe = two.node.command(binaries::lab()?).args(["probe", "--port", &HOST_PORT.to_string()]);
        let said = probe.args([format!("tcp={}", one.node.v4()), format!("tcp={}", one.node.v6())]).succeeds()?;
        let kept = format!("tcp=172.31.0.1 saw {}\ntcp=fd31::1 saw {}\n", two.node.v4(), two.node.v6());
        assert_eq!(said, kept);
        pod.end();
        let table = one.node.command("nft").args(["list", "table", "inet", "podlan-hostport"]).succeeds()?;
        assert!(!table.contains("elements"), "{table}");
        one.is_empty_as(&before)
    });
}

#[test]
fn a_host_port_reaches_the_pod_and_the_pod_sees_the_clients_address() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one, two] = rig.workers();
        one.containerd.install_plugin("portmap", &parts.plugin("portmap"));
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
        one.containerd.use_conflist(&chain(one.node.podnet(), &[portmap]))?;
        let before = one.node.network()?;

        let pod = one.pod_with_host_port("web", HOST_PORT, PORT);
        pod.container("server", &[LAB, "serve"]).is_serving();
        let probe = two.node.command(binaries::lab()?).args(["probe", "--port", &HOST_PORT.to_string()]);
        let said = probe.args([format!("tcp={}", one.node.v4()), format!("tcp={}", one.node.v6())]).succeeds()?;
        let kept = format!("tcp=172.31.0.1 saw {}\ntcp=fd31::1 saw {}\n", two.node.v4(), two.node.v6());
        assert_eq!(said, kept);
        pod.end();
        one.is_empty_as(&before)
    });
}
