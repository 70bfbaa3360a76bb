//! `podlan-node doctor` on a real node: everything is ok on a healthy one, each damage alone turns its check red and no
//! other, and it fixes what it may.
//!
//! ```text
//!   node1 (agent; /run/net.d, /run/bin) ──┬── node2
//!     └── web                            lan
//! ```

mod cures;
pub(crate) mod rig;

use netlink::Route;
use nix::sys::signal::Signal;
use podlan_conformance::lab::{Error, Lab, eventually, within};
use serde_json::json;
use std::fs;

use rig::{OTHER_STORE, Rig, SOON, red};

const V4: &str = "/proc/sys/net/ipv4/ip_forward";
const V6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

#[test]
fn a_healthy_node_is_all_ok_and_each_damage_turns_its_own_check_red() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        let rig = Rig::start(one, &web)?;
        let link = rig.pod_link()?;

        for (setting, value) in [(V4, "0"), (V6, "0")] {
            rig.write(setting, value)?;
            rig.is_red("forwarding", &["forwarding is off", "sysctl -w"])?;
            rig.write(setting, "1")?;
        }
        rig.is_well()?;

        let rp_filter = format!("/proc/sys/net/ipv4/conf/{link}/rp_filter");
        rig.write(&rp_filter, "0")?;
        rig.is_red("rp-filter", &[&link])?;
        rig.write(&rp_filter, "1")?;

        let mtu = format!("/sys/class/net/{link}/mtu");
        rig.write(&mtu, "1400")?;
        rig.is_red("mtu", &[&link, "1400", "default/web", "is not 1500"])?;
        rig.write(&mtu, "1500")?;
        // While the agent runs, the pods' links follow the node's MTU, and files that it wrote are restored.
        rig.agent.signal(Signal::SIGSTOP)?;
        rig.write("/sys/class/net/eth0/mtu", "1450")?;
        rig.is_red("mtu", &["eth0", "1450"])?;
        rig.write("/sys/class/net/eth0/mtu", "1500")?;
        rig.is_well()?;

        rig.put("net.d/05-other.conflist", r#"{"name":"other","plugins":[{"type":"bridge"}]}"#)?;
        rig.is_red("conflist", &["05-other.conflist", "move"])?;
        rig.remove("net.d/05-other.conflist")?;
        let ours = fs::read_to_string(one.path("/run/net.d/10-podlan.conflist")).unwrap_or_default();
        rig.put("net.d/20-old.conflist", &ours)?;
        rig.is_red("conflist", &["20-old.conflist", "podnet"])?;
        rig.put("net.d/20-old.conflist", ours.replace("podnet", "othernet"))?;
        rig.is_red("pools", &["othernet", "podnet", "share addresses"])?;
        rig.remove("net.d/20-old.conflist")?;

        rig.put("net.d/10-podlan.conflist", ours.replace("\"type\": \"podlan-ipam\"", "\"type\": \"static\""))?;
        rig.is_red("plugins", &["/run/bin/static is missing"])?;
        rig.put("net.d/10-podlan.conflist", &ours)?;
        let plugin = fs::read(one.path("/run/bin/podlan")).unwrap_or_default();
        rig.put("bin/podlan", "#!/bin/sh\n")?;
        rig.is_red("plugins", &["/run/bin/podlan is not the podlan"])?;
        rig.put("bin/podlan", &plugin)?;
        rig.is_well()?;
        rig.agent.signal(Signal::SIGCONT)?;

        if rig.nft("add table ip docker")? {
            rig.nft("add chain ip docker FORWARD { type filter hook forward priority 0 ; policy drop ; }")?;
            rig.is_red("forward-policy", &["ip docker FORWARD drops traffic between pods by its policy"])?;
            rig.nft("delete table ip docker")?;
            rig.is_well()?;
        }

        let narrow = two.pod_cidrs()[0].to_string().replace(".0/24", ".64/26");
        let router = "172.31.0.99".parse().ok();
        rig.add(&Route { gateway: router, ..Route::to(narrow.parse().unwrap_or(two.v4().into()), 17) })?;
        rig.is_red("foreign-routes", &[&narrow, "kube-router", "(protocol 17)"])?;
        one.place().remove_route(narrow.parse().unwrap_or(two.v4().into()))?;

        let mut elsewhere = one.as_kubernetes();
        elsewhere["status"]["addresses"][0]["address"] = json!("172.31.0.77");
        rig.list(&lab, &[elsewhere, two.as_kubernetes()], "172.31.0.77")?;
        rig.is_red("source-address", &["172.31.0.1", "172.31.0.77", "hostSource"])?;
        let mut twin = two.as_kubernetes();
        twin["metadata"]["name"] = json!("twin");
        rig.list(&lab, &[one.as_kubernetes(), two.as_kubernetes(), twin], "twin")?;
        rig.is_red("nodes", &["twin", "node2 has the same CIDR"])?;
        rig.list(&lab, &[one.as_kubernetes(), two.as_kubernetes()], "172.31.0.1")?;
        rig.is_well()
    });
}

#[test]
fn a_replaced_route_is_named_with_its_replacement_and_a_missing_one_is_restored_by_the_agent() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        let rig = Rig::start(one, &web)?;
        let [theirs, _] = two.pod_cidrs();
        let other =
            Route { gateway: Some("172.31.0.99".parse().unwrap_or(two.v4())), metric: 110, ..Route::to(theirs, 4) };
        rig.replace(&other)?;
        rig.is_red(
            "routes",
            &[
                "10.244.2.0/24",
                "proto static",
                "ip route del 10.244.2.0/24 via 172.31.0.99 dev eth0 metric 110 proto 4",
            ],
        )?;
        let fixed = rig.doctor(&["--fix"])?;
        assert_eq!(red(&fixed), ["routes"], "a foreign route is named, never touched: {fixed}");
        one.place().remove_route(theirs)?;
        rig.is_well()?;

        // A stopped agent restores nothing.
        eventually(SOON, "doctor --fix wakes the agent", || {
            let text = |error: Error| error.to_string();
            rig.agent.signal(Signal::SIGSTOP).map_err(text)?;
            one.place().remove_route(theirs).map_err(text)?;
            rig.is_red("routes", &["10.244.2.0/24", "missing", "without one: ip route replace 10.244.2.0/24 "])
                .map_err(text)?;
            let fixing = rig.spawn(&["--fix"]).map_err(text)?;
            eventually(SOON, "the doctor has sent its request to the agent", || rig.is_asked()).map_err(text)?;
            rig.agent.signal(Signal::SIGCONT).map_err(text)?;
            let said = fixing.wait(SOON).map_err(text)?;
            if said.stdout.contains("woke the agent") && said.success() { Ok(()) } else { Err(said.report()) }
        })?;

        rig.agent.signal(Signal::SIGSTOP)?;
        if rig.nft("flush ruleset")? {
            rig.is_red("source-rule", &["`source`", "`ARP guard`", "nft_fib"])?;
        }
        rig.agent.signal(Signal::SIGCONT)?;
        rig.is_well()?;

        // An agent that has been silent for long is distinguished from a running one.
        rig.agent.signal(Signal::SIGSTOP)?;
        rig.silence()?;
        rig.is_red("agent", &["has not updated node.json"])?;
        rig.agent.signal(Signal::SIGCONT)
    });
}

#[test]
fn doctor_reports_every_fault_of_a_broken_node_and_fixes_what_it_may() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        let rig = Rig::start(one, &web)?;
        let gone = one.pod("gone")?;
        rig.kill(&gone)?;
        let old = ["--data-dir", OTHER_STORE];
        let said = rig.doctor(&old)?;
        assert_eq!(red(&said), ["leases"], "{said}");
        assert!(said.to_string().contains("default/gone"), "{said}");

        rig.write(V4, "0")?;
        rig.write(V6, "0")?;
        rig.write(&format!("/sys/class/net/{}/mtu", rig.pod_link()?), "1400")?;
        rig.put("net.d/05-other.conflist", r#"{"name":"other","plugins":[{"type":"bridge"}]}"#)?;
        let other = Route { gateway: Some(two.v4()), metric: 110, ..Route::to(two.pod_cidrs()[0], 3) };
        rig.replace(&other)?;
        let before = one.network()?;
        let mut expected = vec!["routes", "forwarding", "mtu", "conflist", "leases"];
        if rig.nft("add table ip docker")? {
            rig.nft("add chain ip docker FORWARD { type filter hook forward priority 0 ; policy drop ; }")?;
            expected.insert(2, "forward-policy");
        }
        let said = rig.doctor(&old)?;
        assert_eq!(red(&said), expected, "{said}");
        assert_eq!(one.network()?.since(&before), "", "without --fix nothing changes");

        let said = rig.doctor(&[&old[..], &["--fix"]].concat())?;
        expected.retain(|check| !["forwarding", "mtu", "leases"].contains(check));
        if expected.contains(&"forward-policy") {
            let left = said["left"].to_string();
            assert!(left.contains("ip docker FORWARD") && left.contains("--accept-forward"), "{said}");
        }
        assert_eq!(red(&said), expected, "{said}");
        let mended: Vec<&str> =
            said["mended"].as_array().into_iter().flatten().filter_map(|one| one["text"].as_str()).collect();
        assert!(mended.iter().any(|text| text.starts_with("switched IPv4 forwarding on")), "{mended:?}");
        assert!(mended.iter().any(|text| text.starts_with("switched IPv6 forwarding on")), "{mended:?}");
        assert!(mended.iter().any(|text| text.starts_with("took back the leases of ")), "{mended:?}");
        assert!(mended.contains(&"set the MTU 1500 on default/web"), "{mended:?}");
        assert_eq!([one.sysctl(V4)?, one.sysctl(V6)?], ["1", "1"]);
        assert!(fs::exists(one.path("/run/net.d/05-other.conflist")).unwrap_or(false), "it is another program's");

        // Without the agent's state the rest is still judged.
        let said =
            rig.doctor(&["--run-dir", "/run/nobody", "--cni-conf-dir", "/run/net.d", "--cni-bin-dir", "/run/bin"])?;
        assert_eq!(red(&said), ["agent", "conflist"], "{said}");
        Ok(())
    });
}
