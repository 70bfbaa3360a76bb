//! The agent's routes on a real kernel: correct, kept correct, and explained.
//!
//! ```text
//!   node1 (agent) ──┬── node2 ── node3
//!                  lan
//! ```

mod bench;
mod cost;
mod kernel;

use std::fs;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink::{POD_ROUTE, Route};
use podlan_conformance::agent::{has, has_not, has_routes_to, is_ready, routes as ours, status, stop};
use podlan_conformance::cluster::list;
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, within};
use serde_json::json;

use kernel::{add_address, add_route, remove_address, set_up};

const SOON: Duration = Duration::from_secs(20);

/// A deleted route is back before an operator has had this many answers, one after the other.
const FACTOR: u32 = 10;

/// The texts of the verdicts on `peer`.
fn verdicts(node: &Node, peer: &str) -> Result<Vec<String>, Error> {
    let status = status(node)?;
    let lines = status["peers"].as_array().into_iter().flatten().filter(|line| line["node"] == peer);
    Ok(lines.map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect())
}

#[test]
fn a_restart_keeps_the_routes_of_a_node_that_is_malformed_and_withdraws_them_when_it_leaves() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        has_routes_to(one, three)?;
        let mut odd = three.as_kubernetes();
        odd["spec"] = json!({ "podCIDRs": ["10.244.3.7/24", "fd00"] });
        list(&lab, &[one.as_kubernetes(), two.as_kubernetes(), odd.clone()])?;
        let is_malformed = |node| match verdicts(one, node).map_err(|error| error.to_string())? {
            texts if texts.iter().any(|text| text.contains("host bits set")) => Ok(()),
            texts => Err(format!("{texts:?}")),
        };
        eventually(SOON, "node3 is malformed", || is_malformed("node3"))?;
        let before = ours(one)?;
        stop(agent)?;
        let agent = one.agent(&[])?;
        eventually(SOON, "the new agent is ready", || is_ready(one, agent.id()))?;
        assert_eq!(ours(one)?, before, "the last good routes stay");

        // A file that cannot be parsed keeps no routes, and stops nothing.
        stop(agent)?;
        let kept = one.path("/run/podlan/kept.json");
        let text = fs::read_to_string(&kept).unwrap_or_default();
        fs::write(&kept, &text[..text.len() / 2]).unwrap();
        let agent = one.agent(&[])?;
        eventually(SOON, "its routes go", || has_not(one, &["unicast", "10.244.3.0/24"]))?;
        has_routes_to(one, two)?;

        // Kept again, and removed with the node.
        list(&lab, &[one.as_kubernetes(), two.as_kubernetes(), three.as_kubernetes()])?;
        has_routes_to(one, three)?;
        list(&lab, &[one.as_kubernetes(), two.as_kubernetes(), odd])?;
        eventually(SOON, "node3 is malformed again", || is_malformed("node3"))?;
        stop(agent)?;
        list(&lab, &[one.as_kubernetes(), two.as_kubernetes()])?;
        let _agent = one.agent(&[])?;
        eventually(SOON, "its routes go with it", || has_not(one, &["unicast", "10.244.3.0/24"]))?;
        has_routes_to(one, two)
    });
}

#[test]
fn a_route_deleted_by_hand_is_back_at_once_and_not_by_the_next_resync_in_both_families() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        // No resync happens during the test.
        let _agent = one.agent(&["--resync", "1h"])?;
        has_routes_to(one, two)?;
        has_routes_to(one, three)?;
        // The base: how long the agent takes to answer an operator, on this machine at this time.
        let mut answers = Vec::new();
        for _ in 0..9 {
            let sent = Instant::now();
            status(one)?;
            answers.push(sent.elapsed());
        }
        answers.sort();
        for cidr in two.pod_cidrs() {
            let mut times = Vec::new();
            for _ in 0..9 {
                one.place().remove_route(cidr)?;
                let deleted = Instant::now();
                eventually(SOON, "the route is back", || {
                    let back = kernel::has_route(one, cidr).map_err(|error| error.to_string())?;
                    if back { Ok(()) } else { Err("gone".to_owned()) }
                })?;
                times.push(deleted.elapsed());
            }
            times.sort();
            println!("healed: median {:?}, worst {:?}; an answer: {:?}", times[4], times[8], answers[4]);
            assert!(times[4] < FACTOR * answers[4], "{times:?}, and answers take {answers:?}");
        }
        Ok(())
    });
}

#[test]
fn routes_of_nodes_that_left_while_the_agent_was_down_are_removed_and_pod_and_foreign_routes_stay() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let web = one.pod("web")?;
        web.add(&one.podnet())?;
        let agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        has_routes_to(one, three)?;
        stop(agent)?;
        assert_eq!(ours(one)?.len(), 6, "an agent that is stopped leaves the routes");
        let foreign = Route { gateway: Some(two.v4()), ..Route::to(network("10.200.0.0/24"), 4) };
        add_route(one, &foreign)?;
        let before = one.network()?;
        lab.list(&[one, two])?;
        let _agent = one.agent(&[])?;
        eventually(SOON, "node3's routes are removed", || {
            three.pod_cidrs().iter().try_for_each(|cidr| has_not(one, &[&cidr.to_string()]))
        })?;
        assert_eq!(ours(one)?.len(), 4);
        let stays = |words: &[&str]| before.lines(words).len();
        assert_eq!(one.network()?.lines(&["proto", "112"]).len(), stays(&["proto", &POD_ROUTE.to_string()]));
        assert_eq!(one.network()?.lines(&["10.200.0.0/24"]).len(), 1);
        Ok(())
    });
}

#[test]
fn an_empty_list_is_held_until_a_later_list_or_the_operator_confirms_it() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let agent = one.agent(&["--withdraw-hold", "1s"])?;
        has_routes_to(one, two)?;
        has_routes_to(one, three)?;
        let before = ours(one)?;
        list(&lab, &[])?;
        eventually(SOON, "the list is held", || match status(one).map_err(|error| error.to_string())? {
            status if status["held"]["withdraws"] == 4 && status["ready"] == true => Ok(()),
            status => Err(status.to_string()),
        })?;
        assert_eq!(ours(one)?, before);
        eventually(SOON, "the same list, read again after the hold, is applied", || match ours(one) {
            Ok(held) if held.is_empty() => Ok(()),
            held => Err(format!("{held:?}")),
        })?;
        stop(agent)?;

        lab.list(&[one, two, three])?;
        let _agent = one.agent(&["--withdraw-hold", "1h"])?;
        has_routes_to(one, two)?;
        has_routes_to(one, three)?;
        lab.write_nodes("{\"items\": [\n")?;
        eventually(SOON, "the error names file and line", || {
            let error = status(one).map_err(|error| error.to_string())?["source"]["error"].to_string();
            if error.contains("nodes.json:2:") { Ok(()) } else { Err(error) }
        })?;
        assert_eq!(ours(one)?, before, "a malformed file changes nothing");
        lab.list(&[one])?;
        let release = || node_command(one, &["release-withdrawal"]);
        eventually(SOON, "the operator releases it", || match release() {
            Ok(said) if said.contains("released") => Ok(()),
            said => Err(format!("{said:?}")),
        })?;
        eventually(SOON, "only the own routes are left", || match ours(one) {
            Ok(held) if held.len() == 2 => Ok(()),
            held => Err(format!("{held:?}")),
        })
    });
}

fn node_command(node: &Node, arguments: &[&str]) -> Result<String, Error> {
    node.command(binaries::find("podlan-node")?).args(arguments).succeeds()
}

#[test]
fn a_node_address_that_changes_in_one_family_changes_that_familys_route_alone() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        let mut moved = two.as_kubernetes();
        moved["status"]["addresses"][1]["address"] = json!("fd31::77");
        list(&lab, &[one.as_kubernetes(), moved])?;
        let [v4, v6] = two.pod_cidrs().map(|cidr| cidr.to_string());
        eventually(SOON, "the IPv6 route has the new next hop", || has(one, &[&v6, "fd31::77"]))?;
        assert_eq!(has(one, &[&v4, "172.31.0.2"]), Ok(()));
        Ok(())
    });
}

#[test]
fn a_foreign_route_in_the_place_of_ours_is_named_and_left_alone() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let [theirs, _] = two.pod_cidrs();
        let foreign = Route { gateway: Some(three.v4()), metric: 110, ..Route::to(theirs, 4) };
        add_route(one, &foreign)?;
        let _agent = one.agent(&[])?;
        has_routes_to(one, three)?;
        eventually(SOON, "the verdict names the foreign route", || {
            let said = verdicts(one, "node2").map_err(|error| error.to_string())?.join("; ");
            let named =
                said.contains("held by a foreign route") && said.contains("172.31.0.3") && said.contains("static");
            if named { Ok(()) } else { Err(said) }
        })?;
        assert_eq!(has(one, &[&theirs.to_string(), "172.31.0.3", "4"]), Ok(()), "it is unchanged");
        one.place().remove_route(theirs)?;
        eventually(SOON, "once it is gone, podlan's route is there", || {
            has(one, &[&theirs.to_string(), "172.31.0.2", "110"])
        })
    });
}

#[test]
fn each_odd_node_gets_its_verdict_and_the_good_routes_stay() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let odd = |name: &str, cidr: &str, address: &str| {
            json!({ "metadata": { "name": name }, "spec": { "podCIDR": cidr },
                    "status": { "addresses": [{ "type": "InternalIP", "address": address }] } })
        };
        let table = [
            ("same-cidr", "10.244.2.0/24", "172.31.0.9", "node2 has the same CIDR"),
            ("covers-us", "172.31.0.0/16", "172.31.0.9", "covers this node's 172.31.0.1/24"),
            ("covers-node2", "172.31.0.2/32", "172.31.0.9", "covers the address 172.31.0.2 of node2"),
            ("our-cidr", "10.244.1.0/25", "172.31.0.9", "overlaps this node's pod CIDR"),
            ("our-address", "10.244.9.0/24", "172.31.0.1", "this node's own address"),
            ("host-bits", "10.244.9.9/24", "172.31.0.9", "host bits set (did you mean 10.244.9.0/24?)"),
            ("mapped", "10.244.9.0/24", "::ffff:172.31.0.9", "IPv4 address written as IPv6"),
            ("far", "10.244.9.0/24", "192.0.2.9", "no segment that is reached"),
            ("nonsense", "x", "y", "is not a subnet"),
        ];
        // Named to sort after the good ones: of two nodes with one CIDR, the first by name has it.
        let named = |name: &str| format!("z-{name}");
        let mut items = vec![one.as_kubernetes(), two.as_kubernetes()];
        items.extend(table.iter().map(|(name, cidr, address, _)| odd(&named(name), cidr, address)));
        items.push(json!({ "metadata": { "name": "node2" }, "spec": { "podCIDR": "10.244.77.0/24" } }));
        list(&lab, &items)?;
        let agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        // The agent adds its routes before it writes its state.
        eventually(SOON, "the agent is ready", || is_ready(one, agent.id()))?;
        for (name, _, _, expected) in table {
            let said = verdicts(one, &named(name))?.join("; ");
            assert!(said.contains(expected), "{name}: {said}");
        }
        assert!(verdicts(one, "node2")?.join("; ").contains("another node has its name"));
        assert_eq!(ours(one)?.len(), 4, "the good routes and no other: {:?}", ours(one)?);
        assert_eq!(status(one)?["ready"], true);
        Ok(())
    });
}

#[test]
fn a_link_that_flaps_and_an_address_that_comes_back_bring_the_routes_back() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        let [v4, v6] = two.pod_cidrs().map(|cidr| cidr.to_string());
        set_up(one, "eth0", false)?;
        eventually(SOON, "no route by a link that is down", || has_not(one, &[&v4]))?;
        set_up(one, "eth0", true)?;
        eventually(SOON, "the IPv4 route is back", || has(one, &[&v4, "172.31.0.2"]))?;
        // The kernel drops IPv6 addresses of a link that goes down; the node's network configuration adds them again.
        add_address(one, "eth0", network("fd31::1/64"))?;
        eventually(SOON, "the IPv6 route is back", || has(one, &[&v6, "fd31::2"]))?;

        remove_address(one, "eth0", network("172.31.0.1/24"))?;
        add_address(one, "eth0", network("172.31.0.101/24"))?;
        eventually(SOON, "the route has the node's new address", || {
            has(one, &[&v4, "172.31.0.2"])?;
            let said = verdicts(one, "node2").map_err(|error| error.to_string())?.join("; ");
            if said.contains("direct via 172.31.0.2") { Ok(()) } else { Err(said) }
        })
    });
}

#[test]
fn the_own_cidr_is_unreachable_and_a_former_one_stays_while_a_pod_has_an_address_of_it() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agent = one.agent(&["--resync", "200ms"])?;
        has_routes_to(one, two)?;
        let web = one.pod("web")?;
        web.add(&one.podnet())?;
        let mut moved = one.as_kubernetes();
        moved["spec"] = json!({ "podCIDRs": ["10.244.101.0/24", "fd00:10:244:101::/64"] });
        list(&lab, &[moved, two.as_kubernetes()])?;
        eventually(SOON, "the new CIDR is unreachable", || has(one, &["unreachable", "10.244.101.0/24"]))?;
        for cidr in one.pod_cidrs() {
            assert_eq!(has(one, &["unreachable", &cidr.to_string(), "4294967295"]), Ok(()), "it drains");
        }
        assert!(verdicts(one, "node1")?.join("; ").contains("former CIDR"));
        web.del(&one.podnet())?;
        eventually(SOON, "the former CIDR is gone with its last lease", || {
            one.pod_cidrs().iter().try_for_each(|cidr| has_not(one, &["unreachable", &cidr.to_string()]))
        })
    });
}

#[test]
fn cleanup_removes_everything_of_the_agent_and_leaves_the_pods() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        web.add(&one.podnet())?;
        let before = one.network()?;
        let agent = one.agent(&[])?;
        has_routes_to(one, two)?;
        let refused = one.command(binaries::find("podlan-node")?).arg("cleanup").fails()?;
        assert!(refused.stderr.contains("stop it first"), "{}", refused.stderr);
        stop(agent)?;
        let said = node_command(one, &["cleanup"])?;
        assert!(said.contains("addresses are leased"), "{said}");
        assert_eq!(one.network()?.since(&before), "");
        assert!(!fs::exists(one.path("/run/podlan/node.json")).unwrap_or(true));
        web.del(&one.podnet())
    });
}

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap_or_else(|_| panic!("{text} is no network"))
}
