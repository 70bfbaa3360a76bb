//! Another program removes the table, or a part of it.

use std::time::Instant;

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use podlan_conformance::traffic::Protocol::Tcp;
use serde_json::json;

use crate::rig::{SOON, is_closed, is_empty, mapping, opens, with_ports};

fn whole(node: &Node) -> Result<String, Error> {
    Ok(table(node)?.lines().filter(|line| !line.contains("counter")).collect())
}

#[test]
fn the_agent_puts_back_what_others_flush() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let pods = [one.pod("web")?, one.pod("dns")?];
        let ports = [json!([mapping("tcp", 8080)]), json!([mapping("udp", 53), mapping("tcp", 53)])];
        for (pod, ports) in pods.iter().zip(&ports) {
            pod.add(&with_ports(one, ports))?;
        }
        let _server = pods[0].serve()?;
        let before = whole(one)?;
        one.shell("nft flush ruleset")?;
        is_closed(two.place(), Tcp, one.v4(), 8080)?;
        let _agent = one.agent(&[])?;
        let restored = |broken: &str| {
            eventually(SOON, &format!("the table is whole again after {broken}"), || {
                let now = whole(one).map_err(|error| error.to_string())?;
                if now == before { Ok(()) } else { Err(now) }
            })
        };
        restored("its start")?;
        opens(two.place(), Tcp, one.v4(), 8080)?;
        let mut slowest = std::time::Duration::ZERO;
        for broken in [
            "flush ruleset",
            "delete table inet podlan-hostport",
            "flush table inet podlan-hostport",
            "delete element inet podlan-hostport any4 { tcp . 8080 }",
            "flush map inet podlan-hostport any6",
            "flush ruleset",
        ] {
            one.shell(&format!("nft {broken}"))?;
            let begun = Instant::now();
            restored(broken)?;
            slowest = slowest.max(begun.elapsed());
            opens(two.place(), Tcp, one.v4(), 8080)?;
        }
        println!("the slowest was whole again after {slowest:?}");
        for pod in &pods {
            pod.del(&one.podnet())?;
        }
        is_empty(one, "after DEL, beside the agent")
    });
}

#[test]
fn without_an_agent_the_next_pod_with_a_host_port_brings_all_of_them_back() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, next) = (one.pod("web")?, one.pod("next")?);
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        let _server = web.serve()?;
        for broken in
            ["flush ruleset", "flush chain inet podlan-hostport prerouting", "flush table inet podlan-hostport"]
        {
            one.shell(&format!("nft {broken}"))?;
            next.add(&with_ports(one, &json!([mapping("tcp", 8081)])))?;
            opens(one.place(), Tcp, one.v4(), 8080)?;
            next.del(&one.podnet())?;
        }
        web.del(&one.podnet())?;
        is_empty(one, "at the end")
    });
}

/// A container may be shown another boot id than its node: the agent collects nothing that has its link, or its lease.
#[test]
fn a_record_of_another_boot_stays_while_its_link_or_its_lease_does() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, half) = (one.pod("web")?, one.pod("half")?);
        let boot_id = "/proc/sys/kernel/random/boot_id";
        one.shell(&format!(
            "echo 6f3c2f4e-0d2b-4c5e-9d2f-000000000001 >/run/boot && mount --bind /run/boot {boot_id}"
        ))?;
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        let added = half.add(&with_ports(one, &json!([mapping("tcp", 8081)])))?;
        one.shell(&format!("umount {boot_id}"))?;
        let _server = web.serve()?;
        // As an ADD that has not made its link yet.
        let host_end = added.result["interfaces"][0]["name"].as_str().unwrap_or_default();
        one.shell(&format!("ip link delete {host_end}"))?;
        one.shell("nft flush ruleset")?;
        let agent = one.agent(&["--resync", "1s"])?;
        opens(one.place(), Tcp, one.v4(), 8080)?;
        one.shell("nft flush ruleset")?;
        opens(one.place(), Tcp, one.v4(), 8080)?;
        let log = agent.stderr();
        assert!(!log.contains("pod that is gone"), "{log}");
        assert_eq!(records(one).len(), 2);
        [web, half].iter().try_for_each(|pod| pod.del(&one.podnet()).map(drop))?;
        is_empty(one, "after DEL")
    });
}

/// What is left of a pod that ended without a DEL goes with its lease.
#[test]
fn the_agent_collects_the_host_ports_of_a_pod_that_is_gone() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, living) = (one.pod("web")?, one.pod("living")?);
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        living.add(&with_ports(one, &json!([mapping("tcp", 8081)])))?;
        let _agent = one.agent(&["--resync", "1s"])?;
        web.remove()?;
        eventually(SOON, "the dead pod's host port is gone", || {
            let table = table(one).map_err(|error| error.to_string())?;
            let gone = records(one).len() == 1 && !table.contains("8080") && table.contains("8081");
            if gone { Ok(()) } else { Err(table) }
        })
    });
}

/// A podlan that knows no host ports deleted the pod: it saw no record, and left the elements.
#[test]
fn what_a_podlan_without_host_ports_left_is_collected_after_the_upgrade() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, living) = (one.pod("web")?, one.pod("living")?);
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        living.add(&with_ports(one, &json!([mapping("tcp", 8081)])))?;
        one.shell("mv /run/podlan/_hostports /run/podlan-hidden")?;
        web.del(&one.podnet())?;
        one.shell("mv /run/podlan-hidden /run/podlan/_hostports")?;
        assert!(records(one).len() == 2 && table(one)?.contains("8080"), "it is left");
        let _agent = one.agent(&[])?;
        eventually(SOON, "it is gone", || {
            let table = table(one).map_err(|error| error.to_string())?;
            let gone = records(one).len() == 1 && !table.contains("8080") && table.contains("8081");
            if gone { Ok(()) } else { Err(table) }
        })
    });
}

/// A record that nobody has a lease for is garbage, whatever made it: GC removes it, and nothing of a valid attachment.
#[test]
fn gc_collects_a_record_without_a_lease() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, living) = (one.pod("web")?, one.pod("living")?);
        living.add(&with_ports(one, &json!([mapping("tcp", 8081)])))?;
        one.shell("cp -a /run/podlan/_hostports /run/kept")?;
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        one.shell("mv /run/podlan/_hostports /run/hidden && cp -a /run/kept /run/podlan/_hostports")?;
        web.del(&one.podnet())?;
        one.shell("rm -r /run/podlan/_hostports && mv /run/hidden /run/podlan/_hostports")?;
        assert!(records(one).len() == 2 && table(one)?.contains("8080"), "{:?}\n{}", records(one), table(one)?);
        let mut config = one.podnet();
        config["cniVersion"] = json!("1.1.0");
        config["cni.dev/valid-attachments"] = json!([{"containerID": "living", "ifname": "eth0"}]);
        living.cni("GC", "", &config)?.without_env("CNI_CONTAINERID").without_env("CNI_NETNS").succeeds()?;
        let (left, table) = (records(one), table(one)?);
        assert!(left.len() == 1 && !table.contains("8080") && table.contains("8081"), "{left:?}\n{table}");
        Ok(())
    });
}
