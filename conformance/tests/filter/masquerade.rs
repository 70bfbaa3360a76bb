//! Egress with the node's address: out of the cluster and nowhere else, through every change of the list of nodes.
//!
//! ```text
//!   node1 (agent) ─────┬───── node2 (agent)
//!     └── web         lan       └── db
//!                      │
//!                    node3, which is no node of the cluster: it has no routes to the pods
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use podlan_conformance::agent::stop;
use podlan_conformance::lab::{Error, Lab, Node, PORT, Place, binaries, eventually, every, skip, within};
use podlan_conformance::traffic::{Answer, Protocol, Target, probe};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const TABLE: [&str; 2] = ["inet", "podlan-masquerade"];

/// nft(8), which shows the kernel's state; without it the test is skipped.
fn nft() -> Option<&'static str> {
    let found =
        ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        skip("missing nft: apt-get install nftables");
    }
    found
}

/// The objects that `nft -j` prints on a node.
fn ask_nft(node: &Node, nft: &str, words: &[&str]) -> Result<Vec<Value>, Error> {
    let output = node.command(nft).args(["-j", "-a"]).args(words).run()?;
    let value: Value = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    Ok(value["nftables"].as_array().cloned().unwrap_or_default())
}

/// The first addresses of the subnets in a set.
fn members(node: &Node, nft: &str, set: &str) -> Result<BTreeSet<String>, Error> {
    let objects = ask_nft(node, nft, &["list", "set", TABLE[0], TABLE[1], set])?;
    let elements = objects.iter().filter_map(|object| object["set"]["elem"].as_array()).flatten();
    let first = |element: &Value| {
        let text = element.as_str().or(element["prefix"]["addr"].as_str()).or(element["range"][0].as_str());
        text.unwrap_or_default().to_owned()
    };
    Ok(elements.map(first).collect())
}

/// The handles of the rules: a rule that is loaded again gets another.
fn handles(node: &Node, nft: &str) -> Result<Vec<u64>, Error> {
    let objects = ask_nft(node, nft, &["list", "table", TABLE[0], TABLE[1]])?;
    Ok(objects.iter().filter_map(|object| object["rule"]["handle"].as_u64()).collect())
}

/// Waits until the kernel of `node` holds `address` in a set.
fn holds(node: &Node, nft: &str, set: &str, address: &str) -> Result<(), Error> {
    eventually(SOON, &format!("{} has {address} in {set}", node.name()), || {
        let members = members(node, nft, set).map_err(|error| error.to_string())?;
        if members.contains(address) { Ok(()) } else { Err(format!("{members:?}")) }
    })
}

fn egress(node: &Node) -> Result<String, Error> {
    let output = node.command(binaries::find("podlan-node")?).args(["status", "--json"]).run()?;
    let status: Value = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    Ok(status["masquerade"].as_str().unwrap_or_default().to_owned())
}

fn becomes(node: &Node, wanted: &str) -> Result<(), Error> {
    eventually(SOON, &format!("the masquerade of {} is {wanted}", node.name()), || match egress(node) {
        Ok(egress) if egress == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// Every server at `to` saw `from` at its address `as_seen` of that family.
fn seen(from: &Place, to: &[IpAddr], as_seen: &[IpAddr]) -> Result<(), Error> {
    for report in from.ask(&every(to))? {
        match &report.answer {
            Answer::Saw(address) if as_seen.contains(address) => {}
            other => panic!("{} should have been seen at one of {as_seen:?}: {} {other:?}", from.name(), report.target),
        }
    }
    Ok(())
}

fn nodes_file(lab: &Lab, items: Vec<Value>) -> Result<(), Error> {
    lab.write_nodes(&json!({ "kind": "NodeList", "items": items }).to_string())
}

/// A node that cannot be reached, with addresses of its own.
fn far(number: u32) -> Value {
    let [_, a, b, c] = number.to_be_bytes();
    json!({
        "metadata": { "name": format!("far{number}") },
        "spec": { "podCIDRs": [format!("11.{b}.{c}.0/24"), format!("fd11:{a:x}:{b:x}:{c:x}::/64")] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": format!("12.{a}.{b}.{c}") },
            { "type": "InternalIP", "address": format!("fd12::{number:x}") },
        ] },
    })
}

#[test]
fn a_pod_has_the_nodes_address_outside_and_its_own_towards_pods_and_nodes_and_the_rule_is_restored() {
    let Some(nft) = nft() else { return };
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, outside] = lab.these();
        lab.list(&[one, two])?;
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (at_web, at_db) = (web.add(&one.podnet())?, db.add(&two.podnet())?);
        let _servers = [web.serve()?, db.serve()?, two.serve()?, outside.serve()?];
        let agent = one.agent(&["--masquerade"])?;
        let _other = two.agent(&[])?;
        for [a, b] in [[one, two], [two, one]] {
            eventually(SOON, &format!("{} has routes to {}", a.name(), b.name()), || {
                let network = a.network().map_err(|error| error.to_string())?;
                let known = |cidr: &ipnetwork::IpNetwork| {
                    !network.lines(&["route", "unicast", &cidr.to_string(), "via"]).is_empty()
                };
                if b.pod_cidrs().iter().all(known) { Ok(()) } else { Err(network.to_string()) }
            })?;
        }
        becomes(one, "on")?;
        let right = || -> Result<(), Error> {
            seen(web.place(), &outside.ips(), &one.ips())?;
            web.reaches(&at_web, &at_db.ips())?;
            web.reaches(&at_web, &two.ips())?;
            db.reaches(&at_db, &at_web.ips())?;
            two.reaches(&at_web.ips())
        };
        right()?;

        // Another program removes it, in part or as a whole.
        for damage in [
            &["flush", "ruleset"][..],
            &["delete", "table", TABLE[0], TABLE[1]],
            &["flush", "chain", TABLE[0], TABLE[1], "egress"],
            &["flush", "set", TABLE[0], TABLE[1], "inside4"],
            &["add", "element", TABLE[0], TABLE[1], "inside4", "{ 172.31.0.3 }"],
        ] {
            let whole = ["own4", "own6", "inside4", "inside6"];
            let state = |name: &&str| members(one, nft, name);
            let before = whole.iter().map(state).collect::<Result<Vec<_>, _>>()?;
            let rules = handles(one, nft)?.len();
            one.command(nft).args(damage).succeeds()?;
            eventually(SOON, &format!("it is back after {damage:?}"), || {
                let now = whole.iter().map(state).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
                let handles = handles(one, nft).map_err(|error| error.to_string())?;
                if now == before && handles.len() == rules { Ok(()) } else { Err(format!("{now:?} {handles:?}")) }
            })?;
        }
        right()?;

        // An agent without the option removes it.
        stop(agent)?;
        assert_ne!(handles(one, nft)?, Vec::<u64>::new(), "it stays without the agent");
        let agent = one.agent(&[])?;
        becomes(one, "off")?;
        assert_eq!(handles(one, nft)?, Vec::<u64>::new());

        // An exception of the operator: pods are seen with their own addresses, where the other side has a route back.
        stop(agent)?;
        for (cidr, via) in one.pod_cidrs().iter().zip(one.ips()) {
            let route = ["route", "add", &cidr.to_string(), "via", &via.to_string()].map(str::to_owned);
            outside.command("ip").args(route).succeeds()?;
        }
        let agent = one.agent(&["--masquerade", "--no-masquerade-to", "172.31.0.3/32,fd31::3/128"])?;
        becomes(one, "on")?;
        // Of another pod: a connection keeps the address that it started with.
        let late = one.pod("late")?;
        let at_late = late.add(&one.podnet())?;
        late.reaches(&at_late, &outside.ips())?;

        stop(agent)?;
        let said = one.command(binaries::find("podlan-node")?).arg("cleanup").succeeds()?;
        assert!(said.contains("inet podlan-masquerade"), "{said}");
        assert_eq!(
            ask_nft(one, nft, &["list", "tables"])?.iter().filter(|object| !object["table"].is_null()).count(),
            0
        );
        Ok(())
    });
}

#[test]
fn no_connection_is_lost_and_no_pod_sees_another_address_while_the_sets_change() {
    let Some(nft) = nft() else { return };
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, outside] = lab.these();
        let both = || vec![one.as_kubernetes(), two.as_kubernetes()];
        nodes_file(&lab, both())?;
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (at_web, at_db) = (web.add(&one.podnet())?, db.add(&two.podnet())?);
        let _servers = [db.serve()?, outside.serve()?];
        let agent = one.agent(&["--masquerade"])?;
        let _other = two.agent(&["--masquerade"])?;
        eventually(SOON, "web reaches db", || web.reaches(&at_web, &at_db.ips()).map_err(|error| error.to_string()))?;
        becomes(one, "on")?;
        let rules = handles(one, nft)?;

        let (over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
        // New connections all the time, each of which the rules judge.
        let ask = |to: Vec<IpAddr>, as_seen: Vec<IpAddr>| {
            let targets = to
                .into_iter()
                .flat_map(|address| [Protocol::Tcp, Protocol::Udp].map(|protocol| Target { protocol, address }));
            let targets: Vec<Target> = targets.collect();
            let (over, opened) = (&over, &opened);
            move || -> Vec<String> {
                let mut wrong = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    for target in &targets {
                        let report = probe(*target, PORT, None);
                        opened.fetch_add(1, Ordering::Relaxed);
                        if !matches!(&report.answer, Answer::Saw(address) if as_seen.contains(address)) {
                            wrong.push(report.to_string());
                        }
                    }
                }
                wrong
            }
        };
        let (inside, out) = (ask(at_db.ips(), at_web.ips()), ask(outside.ips(), one.ips()));
        let wrong = thread::scope(|scope| -> Result<Vec<String>, Error> {
            let asking = [scope.spawn(|| web.place().enter(inside)), scope.spawn(|| web.place().enter(out))];
            let updates = || -> Result<(), Error> {
                for round in 1..=20u32 {
                    // Each list has other far nodes than the one before, and some that stay.
                    let far_ones = (1..=20).chain(round * 100..round * 100 + 30).map(far);
                    nodes_file(&lab, both().into_iter().chain(far_ones).collect())?;
                    let [_, a, b, c] = (round * 100).to_be_bytes();
                    holds(one, nft, "inside4", &format!("12.{a}.{b}.{c}"))?;
                }
                nodes_file(&lab, both().into_iter().chain((1..=5000).map(far)).collect())?;
                holds(one, nft, "inside6", "fd12::1388")
            };
            let updated = updates();
            over.store(true, Ordering::Relaxed);
            let mut wrong = Vec::new();
            for thread in asking {
                wrong.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            updated.map(|()| wrong)
        })?;
        let opened = opened.into_inner();
        assert!(wrong.is_empty(), "{} of {opened} connections went wrong: {wrong:?}", wrong.len());
        assert!(opened > 100, "{opened} connections show nothing");
        assert_eq!(handles(one, nft)?, rules, "no rule was loaded again");
        // Two nodes, five thousand more, multicast; each with its pod CIDR and its address.
        assert_eq!(members(one, nft, "inside4")?.len(), 2 * 5002 + 1);

        // A new agent finds them right and changes nothing.
        stop(agent)?;
        let _agent = one.agent(&["--masquerade"])?;
        becomes(one, "on")?;
        assert_eq!(handles(one, nft)?, rules, "nor by a new agent");
        seen(web.place(), &outside.ips(), &one.ips())
    });
}

#[test]
fn a_pod_of_a_node_that_joins_is_never_seen_by_its_nodes_address() {
    let Some(nft) = nft() else { return };
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (at_web, at_db) = (web.add(&one.podnet())?, db.add(&two.podnet())?);
        let _server = db.serve()?;
        let _agent = one.agent(&["--masquerade", "--withdraw-share", "1"])?;
        let _other = two.agent(&[])?;
        eventually(SOON, "web reaches db", || web.reaches(&at_web, &at_db.ips()).map_err(|error| error.to_string()))?;
        becomes(one, "on")?;
        let over = AtomicBool::new(false);
        let (own, to) = (at_web.v4()?, at_db.v4()?);
        let ask = || -> (usize, Vec<IpAddr>) {
            let (mut answers, mut others) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                let asking = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
                    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                    socket.send_to(b"who", (to, PORT))?;
                    let mut answer = [0; 64];
                    socket.recv(&mut answer).map(|length| String::from_utf8_lossy(&answer[..length]).into_owned())
                });
                // While the node is away there is no answer.
                if let Some(address) = asking.ok().and_then(|text| text.parse::<IpAddr>().ok()) {
                    answers += 1;
                    if address != own {
                        others.push(address);
                    }
                }
            }
            (answers, others)
        };
        let (answers, others) = thread::scope(|scope| -> Result<_, Error> {
            let asking = scope.spawn(|| web.place().enter(ask));
            let changes = || -> Result<(), Error> {
                for _ in 0..30 {
                    lab.list(&[one, three])?;
                    let gone = || -> Result<(), String> {
                        let members = members(one, nft, "inside4").map_err(|error| error.to_string())?;
                        if members.contains("10.244.2.0") { Err(format!("{members:?}")) } else { Ok(()) }
                    };
                    eventually(SOON, "node2 is outside", gone)?;
                    lab.list(&[one, two, three])?;
                    holds(one, nft, "inside4", "10.244.2.0")?;
                }
                Ok(())
            };
            let changed = changes();
            over.store(true, Ordering::Relaxed);
            let answers = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            changed.map(|()| answers)
        })?;
        assert_eq!((answers > 0, others), (true, Vec::new()), "{answers} answers");
        Ok(())
    });
}
