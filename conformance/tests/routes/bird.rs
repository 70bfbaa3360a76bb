//! More than one segment: BIRD carries the pod subnets over a router, with the configuration that ships in deploy/bird.
//!
//! ```text
//!   node1 172.31.0.1 ──┬── node2 172.31.0.2          segment A
//!     └── web         lan        └── near
//!                      │
//!                   router 172.31.0.254, 172.31.1.254 (BIRD; no agent, no pods)
//!                      │
//!                    far-lan ── node3 172.31.1.3       segment B
//!                                 └── far
//! ```
//!
//! Each node runs its agent and BIRD.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use podlan_conformance::agent::{has, status};
use podlan_conformance::lab::{Error, Lab, Node, Running, binaries, eventually, skip, within};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);
const NODE: &str = include_str!("../../../deploy/bird/node.conf");
const ROUTER: &str = include_str!("../../../deploy/bird/router.conf");

/// BIRD and its client; without them the test is skipped.
fn bird() -> Option<[&'static str; 2]> {
    let both = ["/usr/sbin/bird", "/usr/sbin/birdc"];
    if both.iter().all(|path| Path::new(path).exists()) {
        return Some(both);
    }
    skip("missing bird: apt-get install bird2");
    None
}

/// `ip` in the lab itself, where the bridges are.
fn wire(words: &str) -> Result<(), Error> {
    let failed = |source| Error::System { doing: format!("run ip {words}"), source };
    let done = Command::new("ip").args(words.split(' ')).output().map_err(failed)?;
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn ip(node: &Node, words: &str) -> Result<(), Error> {
    node.command("ip").args(words.split(' ')).succeeds().map(drop)
}

/// The configuration with this test's values in place of the example's.
fn with(config: &str, values: &[(&str, &str)]) -> String {
    let line = |line: &str| {
        let named = |(name, _): &&(&str, &str)| line.starts_with(&format!("define {name} "));
        values.iter().find(named).map_or_else(|| line.to_owned(), |(name, value)| format!("define {name} = {value};"))
    };
    config.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn start(node: &Node, bird: &str, config: &str) -> Result<Running, Error> {
    let written = fs::write(node.path("/run/bird.conf"), config);
    written.map_err(|source| Error::System { doing: "write bird.conf".into(), source })?;
    node.command(bird).args(["-f", "-c", "/run/bird.conf", "-s", "/run/bird.ctl", "-P", "/run/bird.pid"]).spawn()
}

/// The destinations in BIRD's routing table.
fn carried(node: &Node, birdc: &str) -> Result<Vec<String>, Error> {
    let said = node.command(birdc).args(["-s", "/run/bird.ctl", "show", "route"]).run()?.stdout;
    let first = said.lines().filter_map(|line| line.split_whitespace().next());
    Ok(first.filter(|word| word.contains('/')).map(str::to_owned).collect())
}

/// Two segments: node3 moves behind the router, which is the fourth node.
fn part([_, _, three, router]: [&Node; 4], nodes: [&Node; 2]) -> Result<(), Error> {
    wire("link add far-lan type bridge")?;
    wire("link set far-lan up")?;
    wire("link set node3 master far-lan")?;
    ip(router, "link add eth1 type veth peer name router-far netns 1")?;
    wire("link set router-far master far-lan up")?;
    ip(router, "link set eth1 up")?;
    for (node, link, addresses) in [
        (three, "eth0", ["172.31.1.3/24", "fd31:0:0:1::3/64"]),
        (router, "eth0", ["172.31.0.254/24", "fd31::fe/64"]),
        (router, "eth1", ["172.31.1.254/24", "fd31:0:0:1::fe/64"]),
    ] {
        for family in ["-4", "-6"] {
            ip(node, &format!("{family} address flush dev {link} scope global"))?;
        }
        ip(node, &format!("address add {} dev {link}", addresses[0]))?;
        ip(node, &format!("address add {} dev {link} nodad", addresses[1]))?;
    }
    for node in nodes {
        ip(node, "route add default via 172.31.0.254")?;
        ip(node, "-6 route add default via fd31::fe")?;
    }
    ip(three, "route add default via 172.31.1.254")?;
    ip(three, "-6 route add default via fd31:0:0:1::fe")?;
    let forwards = router.place().enter(|| {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    })?;
    forwards.map_err(|source| Error::System { doing: "make the router forward".into(), source })
}

#[test]
fn pods_behind_a_router_see_each_others_own_addresses_and_bird_carries_subnets_alone() {
    let Some([bird, birdc]) = bird() else { return };
    within(|| {
        let lab = Lab::new(4)?;
        let [one, two, three, router] = lab.these();
        part([one, two, three, router], [one, two])?;
        let mut behind = three.as_kubernetes();
        behind["status"]["addresses"] = json!([
            { "type": "InternalIP", "address": "172.31.1.3" },
            { "type": "InternalIP", "address": "fd31:0:0:1::3" },
        ]);
        let items = [one.as_kubernetes(), two.as_kubernetes(), behind];
        lab.write_nodes(&json!({ "kind": "NodeList", "items": items }).to_string())?;

        let node = |own: [&str; 2], router: [&str; 2]| {
            let values = [("SELF4", own[0]), ("SELF6", own[1]), ("ROUTER4", router[0]), ("ROUTER6", router[1])];
            with(NODE, &values)
        };
        let near_router = ["172.31.0.254", "fd31::fe"];
        let _birds = [
            start(router, bird, ROUTER)?,
            start(one, bird, &node(["172.31.0.1", "fd31::1"], near_router))?,
            start(two, bird, &node(["172.31.0.2", "fd31::2"], near_router))?,
            start(three, bird, &node(["172.31.1.3", "fd31:0:0:1::3"], ["172.31.1.254", "fd31:0:0:1::fe"]))?,
        ];
        let agent = one.agent(&["--masquerade"])?;
        let _others = [two.agent(&["--masquerade"])?, three.agent(&["--masquerade"])?];
        let pods = [one.pod("web")?, two.pod("near")?, three.pod("far")?];
        let added = [one, two, three].into_iter().zip(&pods).map(|(node, pod)| pod.add(&node.podnet()));
        let added = added.collect::<Result<Vec<_>, _>>()?;
        let _servers = pods.iter().map(podlan_conformance::lab::Pod::serve).collect::<Result<Vec<_>, _>>()?;

        let subnets: Vec<String> =
            [one, two, three].iter().flat_map(|node| node.pod_cidrs()).map(|cidr| cidr.to_string()).collect();
        for cidr in &subnets {
            eventually(SOON, &format!("the router has {cidr}"), || {
                has(router, &["route", "unicast", cidr, "proto", "12"])
            })?;
        }
        for cidr in three.pod_cidrs() {
            eventually(SOON, "node1 learns of node3's pods", || {
                has(one, &["route", "unicast", &cidr.to_string(), "proto", "12"])
            })?;
        }
        for cidr in one.pod_cidrs() {
            eventually(SOON, "node3 learns of node1's pods", || {
                has(three, &["route", "unicast", &cidr.to_string(), "proto", "12"])
            })?;
        }
        let everyone = || -> Result<(), Error> {
            for (index, pod) in pods.iter().enumerate() {
                let others = added.iter().enumerate().filter(|(other, _)| *other != index);
                let to: Vec<IpAddr> = others.flat_map(|(_, added)| added.ips()).collect();
                pod.reaches(&added[index], &to)?;
            }
            Ok(())
        };
        eventually(SOON, "all pods reach each other", || everyone().map_err(|error| error.to_string()))?;

        // Subnets only: in every BIRD, and in the router's kernel.
        for place in [router, one, two, three] {
            let carried = carried(place, birdc)?;
            assert!(!carried.is_empty());
            assert!(carried.iter().all(|cidr| subnets.contains(cidr)), "{} carries {carried:?}", place.name());
        }
        let network = router.network()?;
        for ip in added.iter().flat_map(podlan_conformance::lab::Added::ips) {
            assert!(
                network.lines(&["route", &format!("{ip}/")]).is_empty(),
                "the router has a pod's address: {network}"
            );
        }

        // To the agent a node of another segment is no fault, and routes that BIRD learned are foreign.
        let said = status(one)?;
        let peer = said["peers"].as_array().into_iter().flatten().find(|line| line["node"] == "node3");
        assert_eq!(said["ready"], true);
        assert_eq!(peer.map(|line| &line["verdict"]), Some(&json!("skipped")), "{said}");
        assert_eq!(peer.map(|line| &line["reason"]), Some(&json!("other-segment")), "{said}");
        let learned = |node: &Node| -> Result<Vec<String>, Error> {
            Ok(node.network()?.lines(&["route", "proto", "12"]).into_iter().map(str::to_owned).collect())
        };
        let before = learned(one)?;
        agent.stop(Duration::from_secs(5))?;
        one.command(binaries::find("podlan-node")?).arg("cleanup").succeeds()?;
        for cidr in three.pod_cidrs() {
            has(one, &["route", "unicast", &cidr.to_string(), "proto", "12"]).map_err(|said| Error::Never {
                fact: format!("cleanup leaves what BIRD learned: {before:?}"),
                deadline: Duration::ZERO,
                seen: said,
            })?;
        }

        // A subnet that podlan removes disappears from the router too.
        for cidr in one.pod_cidrs() {
            eventually(SOON, "the router has node1's pods no longer", || {
                has(router, &["route", "unicast", &cidr.to_string(), "proto", "12"])
                    .map_or(Ok(()), |()| Err(format!("{cidr}")))
            })?;
        }
        Ok(())
    });
}
