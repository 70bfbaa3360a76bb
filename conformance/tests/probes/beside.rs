//! Programs beside podlan that let packets of pods pass: no path is bad at any moment. Their rules are those that
//! tests/truth/rules has as recorded.

use std::process::Command;

use podlan_conformance::agent::state;
use podlan_conformance::lab::{Error, Node, binaries, eventually, skip, within};

use crate::rig::{FAMILIES, Here, SOON, all_open, becomes, calm, chain, line, no_chain, of_two, set, took};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth/rules");

/// The name of the pod's host link.
fn link(here: &Here<'_>) -> String {
    let links = here.at.result["interfaces"].as_array();
    let host = links.into_iter().flatten().find(|link| link["sandbox"].as_str().unwrap_or_default().is_empty());
    host.and_then(|link| link["name"].as_str()).unwrap_or_default().to_owned()
}

/// Waits until node1 says why it does not probe IPv4, and names this.
fn says_why(node: &Node, name: &str) -> Result<(), Error> {
    eventually(SOON, "the rule is named", || {
        let why = state(node)["paths"]["notProbed"]["ipv4"].to_string();
        if why.contains(name) { Ok(()) } else { Err(state(node)["paths"].to_string()) }
    })
}

#[test]
fn strict_reverse_path_checks_find_probes_at_the_uplink_and_at_the_inner_end() {
    within(|| {
        of_two(&[], |here, there| {
            // fib saddr . mark . iif oif, IPv6.
            for node in [here.node, there.node] {
                node.shell(&format!("nft -f {RULES}/firewalld.nft"))?;
            }
            calm("firewalld", here, there)?;
            all_open("firewalld", &[here, there])?;
            here.reaches(there)?;
            for node in [here.node, there.node] {
                node.shell("nft delete table inet firewalld")?;
                chain(node, "filter hook prerouting priority 0", &["fib saddr . iif oif missing drop"])?;
            }
            calm("a check without the mark, both families", here, there)?;
            all_open("a check without the mark, both families", &[here, there])?;
            for node in [here.node, there.node] {
                no_chain(node)?;
                for link in ["all", "eth0"] {
                    set(node, &format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"), "1")?;
                }
            }
            calm("rp_filter", here, there)?;
            here.reaches(there)
        })
    });
}

#[test]
fn a_rule_that_drops_links_that_its_program_does_not_know_is_named_and_no_alarm() {
    within(|| {
        if !Command::new("iptables-nft-restore").arg("--version").output().is_ok_and(|done| done.status.success()) {
            skip("missing iptables-nft-restore: apt-get install iptables");
            return Ok(());
        }
        of_two(&[], |here, there| {
            let link = link(here);
            here.node.shell(&format!(
                "sed 's/@WEB@/{link}/g; s/@SIDE@/podlother/g' {RULES}/calico.v4 | iptables-nft-restore"
            ))?;
            calm("Calico", here, there)?;
            here.reaches(there)?;
            becomes("Calico", here, there.node, &["ipv4"], &["not-probed"])?;
            becomes("Calico there", there, here.node, &["ipv4"], &["not-probed"])?;
            says_why(here.node, "cali-from-wl-dispatch")?;
            // A rule that drops packets of pods too is a loss again.
            chain(here.node, "filter hook forward priority -10", &["ip daddr 10.244.2.0/24 drop"])?;
            took("pods are dropped beside it", becomes("pods too", here, there.node, &["ipv4"], &["lost-there"])?);
            no_chain(here.node)?;
            here.node.shell("iptables-nft -F; iptables-nft -t raw -F; iptables-nft -t mangle -F")?;
            Ok(())
        })
    });
}

/// As ufw and firewalld reject, and say so.
const REJECTED: [&str; 4] = [
    "ct state established,related accept",
    "meta l4proto ipv6-icmp accept",
    "iifname lo accept",
    "reject with icmpx admin-prohibited",
];
const INPUT: &str = "filter hook input priority 0";

#[test]
fn a_packet_filter_that_rejects_what_comes_in_is_no_alarm_on_one_side_or_both() {
    within(|| {
        of_two(&[], |here, there| {
            chain(there.node, INPUT, &REJECTED)?;
            calm("rejected there", here, there)?;
            all_open("rejected there", &[here, there])?;
            chain(here.node, INPUT, &REJECTED)?;
            calm("rejected on both", here, there)?;
            becomes("rejected on both", here, there.node, &FAMILIES, &["not-probed"])?;
            becomes("rejected on both", there, here.node, &FAMILIES, &["not-probed"])?;
            here.reaches(there)?;
            no_chain(here.node)?;
            no_chain(there.node)?;
            Ok(())
        })
    });
}

#[test]
fn a_packet_filter_that_rejects_probe_addresses_and_lets_node_addresses_in_is_no_alarm() {
    within(|| {
        of_two(&[], |here, there| {
            let mut rules = REJECTED.to_vec();
            rules.splice(3..3, ["ip saddr 172.31.0.0/24 accept", "ip6 saddr fd31::/64 accept"]);
            chain(there.node, INPUT, &rules)?;
            calm("probe addresses are rejected there", here, there)?;
            all_open("probe addresses are rejected there", &[here, there])?;
            no_chain(there.node)?;
            Ok(())
        })
    });
}

#[test]
fn a_peer_that_translates_what_comes_to_its_pods_is_seen_with_the_address_and_its_own_doctor_names_the_rule() {
    within(|| {
        of_two(&[], |here, there| {
            let rules = ["oifname \"podl*\" ip saddr 10.244.1.0/24 masquerade"];
            chain(there.node, "nat hook postrouting priority 100", &rules)?;
            took("translated by the peer", becomes("by the peer", here, there.node, &["ipv4"], &["translated"])?);
            let paths = state(here.node)["paths"].clone();
            assert_eq!(line(&paths, "node2", "ipv4").map(|line| line["seenAs"].clone()), Some("172.31.0.2".into()));
            let doctor = there.node.command(binaries::find("podlan-node")?).args(["doctor", "--json"]).run()?;
            assert!(!doctor.success() && doctor.stdout.contains("inet fault f by its rule"), "{}", doctor.stdout);
            no_chain(there.node)?;
            Ok(())
        })
    });
}
