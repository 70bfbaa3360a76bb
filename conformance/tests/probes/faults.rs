//! Every fault of a path, the verdict on it, and how long that takes. Each fault is made while the agents run, and is taken away
//! again.

use std::time::Duration;

use podlan_conformance::agent::{state, stop};
use podlan_conformance::lab::{Lab, eventually, within};

use crate::rig::{FAMILIES, Here, SOON, all_open, becomes, calm, chain, line, no_chain, of_two, on_the_lan, set, took};

/// A rule of the fabric: a bridge sees the frames of all nodes.
fn fabric(rule4: &str, rule6: &str) -> String {
    format!(
        "nft 'add table bridge fault; add chain bridge fault f {{ type filter hook forward priority 0; }}; \
         add rule bridge fault f {rule4}; add rule bridge fault f {rule6}'"
    )
}

const WELL: &str = "nft delete table bridge fault";

#[test]
fn where_the_network_drops_pod_addresses_the_direction_is_told_at_both_ends() {
    within(|| {
        of_two(&[], |here, there| {
            let drops = fabric("ip saddr 10.244.2.0/24 drop", "ip6 saddr fd00:10:244:2::/64 drop");
            on_the_lan(&drops)?;
            took("dropped on the way back", becomes("one way", here, there.node, &FAMILIES, &["lost-back"])?);
            took("and at the other end", becomes("one way", there, here.node, &FAMILIES, &["lost-there"])?);
            on_the_lan(WELL)?;
            all_open("between", &[here, there])?;
            on_the_lan(&fabric("ip saddr 10.244.0.0/16 drop", "ip6 saddr fd00:10:244::/48 drop"))?;
            took("dropped both ways", becomes("both ways", here, there.node, &FAMILIES, &["lost-there"])?);
            here.reaches(there).expect_err("pods pass although they are dropped");
            on_the_lan(WELL)?;
            Ok(())
        })
    });
}

#[test]
fn a_peer_that_is_dead_is_told_from_a_network_that_drops_pod_addresses() {
    within(|| {
        of_two(&[], |here, there| {
            there.node.cable(false)?;
            took("peer dead", becomes("unplugged", here, there.node, &FAMILIES, &["peer-dead"])?);
            there.node.cable(true)?;
            Ok(())
        })
    });
}

#[test]
fn large_packets_that_are_lost_in_silence_are_found_with_the_size_that_passes() {
    within(|| {
        of_two(&[], |here, there| {
            on_the_lan("ip link set node2 mtu 1400")?;
            took("too big", becomes("by size", here, there.node, &FAMILIES, &["too-big"])?);
            let largest =
                |family| line(&state(here.node)["paths"], "node2", family).and_then(|l| l["largest"].as_u64());
            eventually(SOON, "the size that passes is found", || {
                let found = FAMILIES.map(largest);
                match found.iter().all(|size| size.is_some_and(|size| (1392..=1400).contains(&size))) {
                    true => Ok(()),
                    false => Err(format!("{found:?}")),
                }
            })?;
            on_the_lan("ip link set node2 mtu 1500")?;
            Ok(())
        })
    });
}

#[test]
fn a_masquerade_rule_that_comes_to_a_running_node_is_seen_with_the_address() {
    within(|| {
        of_two(&[], |here, there| {
            for (what, rule) in [
                ("all that leaves", "oifname eth0 masquerade"),
                ("forwarded from pods' links", "iifname \"podl*\" oifname eth0 masquerade"),
                ("what is not the node's own", "oifname eth0 fib saddr type != local masquerade"),
            ] {
                chain(here.node, "nat hook postrouting priority 100", &[rule])?;
                took(what, becomes(what, here, there.node, &FAMILIES, &["translated"])?);
                let paths = state(here.node)["paths"].clone();
                assert_eq!(line(&paths, "node2", "ipv4").map(|line| line["seenAs"].clone()), Some("172.31.0.1".into()));
                assert_eq!(line(&paths, "node2", "ipv6").map(|line| line["seenAs"].clone()), Some("fd31::1".into()));
                no_chain(here.node)?;
                all_open("without the rule", &[here, there])?;
            }
            Ok(())
        })
    });
}

#[test]
fn what_a_node_itself_does_to_packets_of_pods_is_seen_by_both_agents() {
    within(|| {
        of_two(&["--no-keep-forwarding"], |here, there| {
            let v4 = "/proc/sys/net/ipv4/ip_forward";
            let v6 = "/proc/sys/net/ipv6/conf/all/forwarding";
            for (what, node) in [("own forwarding is off", here.node), ("the peer's forwarding is off", there.node)] {
                set(node, v4, "0")?;
                set(node, v6, "0")?;
                took(what, becomes(what, here, there.node, &FAMILIES, &["lost-there", "lost-back"])?);
                set(node, v4, "1")?;
                set(node, v6, "1")?;
                all_open("forwarding is on", &[here, there])?;
            }
            for (what, node, hook, rule) in [
                ("own forward policy", here.node, "filter hook forward priority 0", "drop"),
                ("own raw prerouting", here.node, "filter hook prerouting priority -300", "iifname \"podl*\" drop"),
                ("the peer's postrouting", there.node, "filter hook postrouting priority 0", "oifname \"podl*\" drop"),
            ] {
                chain(node, hook, &[rule])?;
                // A node that drops what goes to its own probe address says only that it gets no answers.
                took(what, becomes(what, here, there.node, &FAMILIES, &["lost-there", "lost-back", "lost"])?);
                no_chain(node)?;
                all_open("without the rule", &[here, there])?;
            }
            for v in ["-4", "-6"] {
                here.node.shell(&format!("ip {v} rule add iif podlprobe pref 500 blackhole"))?;
            }
            took("an ip rule", becomes("ip rule", here, there.node, &FAMILIES, &["lost-there"])?);
            for v in ["-4", "-6"] {
                here.node.shell(&format!("ip {v} rule del pref 500"))?;
            }
            Ok(())
        })
    });
}

#[test]
fn a_peer_whose_agent_is_stopped_has_a_good_path() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let (web, db, old) = (one.pod("web")?, two.pod("db")?, three.pod("old")?);
        let (here, there) = (Here::start(one, &web, &[])?, Here::start(two, &db, &[])?);
        // It forwards and its pods are reached, but its agent does not probe: an older release, or `--probe off`.
        let quiet = Here::start(three, &old, &["--probe", "off"])?;
        becomes("without probes there", &here, three, &FAMILIES, &["not-probed"])?;
        becomes("with probes there", &here, two, &FAMILIES, &["open"])?;
        let Here { agent, .. } = there;
        agent.stop(Duration::from_secs(20))?;
        let gone = becomes("agent stopped", &here, two, &["ipv6"], &["open or no-agent"])?;
        took("agent stopped, IPv6", gone);
        // The kernel sends no IPv4 error from an address that is on none of its links: the path is not judged without an agent.
        took("agent stopped, IPv4", becomes("agent stopped", &here, two, &["ipv4"], &["not-probed"])?);
        let counts = state(one)["paths"]["counts"].clone();
        assert_eq!(counts["ipv6"]["no-agent"], 1, "{counts}");
        stop(quiet.agent)
    });
}

/// What ufw and firewalld do to input: nothing new comes in but ICMPv6, which IPv6 needs.
const CLOSED: [&str; 3] =
    ["ct state established,related accept", "meta l4proto ipv6-icmp accept", "iifname != lo drop"];
const INPUT: &str = "filter hook input priority 0";

#[test]
fn a_packet_filter_that_drops_what_comes_in_is_no_alarm_on_one_side_or_both() {
    within(|| {
        of_two(&[], |here, there| {
            chain(there.node, INPUT, &CLOSED)?;
            calm("closed there", here, there)?;
            all_open("closed there", &[here, there])?;
            here.reaches(there)?;
            // The open side still sees what the network drops.
            on_the_lan(&fabric("ip saddr 10.244.0.0/16 drop", "ip6 saddr fd00:10:244::/48 drop"))?;
            took(
                "dropped, closed there",
                becomes("closed there", here, there.node, &FAMILIES, &["lost", "lost-there"])?,
            );
            becomes("closed there", there, here.node, &FAMILIES, &["lost", "lost-there"])?;
            on_the_lan(WELL)?;
            all_open("closed there", &[here, there])?;
            chain(here.node, INPUT, &CLOSED)?;
            calm("closed on both", here, there)?;
            here.reaches(there)?;
            no_chain(here.node)?;
            no_chain(there.node)?;
            Ok(())
        })
    });
}
