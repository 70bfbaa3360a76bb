//! `podlan-node trace`: it shows the path that packets take, and each damage turns its own hop red.
//!
//! ```text
//!   node1 (agent) ── lan ── node2 (agent)
//!     ├── web                 └── far
//!     └── db
//! ```

mod rig;

use std::fs;
use std::net::IpAddr;

use netlink::{Link, Route, RouteKind};
use nix::net::if_::if_nametoindex;
use nix::sys::signal::Signal;
use podlan_conformance::lab::{Added, Command, Error, Lab, binaries, eventually, within};
use rig::{SOON, change, io, is_cut, is_red, is_well, nft, said, seen, trace, write};
use serde_json::{Value, json};

const FAMILIES: [usize; 2] = [0, 1];

fn at(added: &Added) -> Result<[IpAddr; 2], Error> {
    Ok([added.v4()?, added.v6()?])
}

#[test]
fn trace_shows_the_path_that_packets_take_on_one_node_and_across_two() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db, far) = (one.pod("web")?, one.pod("db")?, two.pod("far")?);
        let _agents = [one.agent(&[])?, two.agent(&[])?];
        let [at_web, at_db, at_far] =
            [at(&web.add(&one.podnet())?)?, at(&db.add(&one.podnet())?)?, at(&far.add(&two.podnet())?)?];
        for family in FAMILIES {
            let [web_ip, db_ip, far_ip] = [at_web[family], at_db[family], at_far[family]];
            let near = is_well(one, web_ip, db_ip)?;
            let there = ["pod", "host-link", "node", "host-link", "pod"];
            let whole: Vec<String> =
                ["there", "back"].iter().flat_map(|leg| there.map(|place| format!("{leg} {place}"))).collect();
            assert_eq!(near.places(), whole);
            let link = |place: &str| near.hop(place, 0)["interface"].clone();
            assert_eq!(near.hop("there host-link", 1)["interface"], link("back host-link"));
            assert_ne!(link("there host-link"), link("back host-link"));
            let route = near.hop("there node", 0)["route"].to_string();
            assert!(route.contains(&db_ip.to_string()) && route.contains("podlan-pod"), "{route}");
            assert_eq!(near.json["ways"][0]["addressKept"], "yes");
            assert_eq!(seen(&web, web_ip, &db, db_ip)?, Some(web_ip));

            let across = is_well(one, web_ip, far_ip)?;
            let expected = [
                "there pod",
                "there host-link",
                "there node",
                "there uplink",
                "there peer",
                "back peer",
                "back uplink",
                "back node",
                "back host-link",
                "back pod",
            ];
            assert_eq!(across.places(), expected);
            let uplink = across.hop("there uplink", 0);
            assert_eq!([&uplink["interface"], &uplink["mtu"]], [&json!("eth0"), &json!(1500)]);
            assert_eq!(uplink["nextHop"], json!(two.ips()[family]));
            assert_eq!(across.hop("there node", 0)["nextHop"], json!(two.ips()[family]));
            assert_eq!(across.hop("there pod", 0)["interface"], "eth0");
            assert!(across.hop("there peer", 0)["text"].to_string().contains("node2"));
            assert_eq!(across.json["ways"][0]["addressKept"], "yes");
            assert_eq!(seen(&web, web_ip, &far, far_ip)?, Some(web_ip));

            // The other half, traced on the other node.
            let half = is_well(two, web_ip, far_ip)?;
            let expected = [
                "there peer",
                "there uplink",
                "there node",
                "there host-link",
                "there pod",
                "back pod",
                "back host-link",
                "back node",
                "back uplink",
                "back peer",
            ];
            assert_eq!(half.places(), expected);
        }

        // By name, by container id and by its beginning: both families.
        let leases = one.command(binaries::find("podlan-node")?).args(["leases", "--json"]);
        let leases: Value = serde_json::from_str(&leases.succeeds()?).unwrap_or(Value::Null);
        let ids: Vec<&str> =
            leases.as_array().into_iter().flatten().filter_map(|line| line["containerId"].as_str()).collect();
        let of =
            |ip: &IpAddr| leases.as_array().into_iter().flatten().find(|line| line["address"] == json!(ip)).cloned();
        let (of_web, of_db) = (of(&at_web[0]).unwrap_or_default(), of(&at_db[0]).unwrap_or_default());
        let id = of_web["containerId"].as_str().unwrap_or_default();
        let first = (1..=id.len())
            .map(|end| &id[..end])
            .find(|text| ids.iter().all(|other| *other == id || !other.starts_with(text)));
        for text in [id, first.unwrap_or_default(), of_web["pod"].as_str().unwrap_or_default()] {
            let both = said(one, text, of_db["containerId"].as_str().unwrap_or_default())?;
            assert_eq!(both.json["ways"].as_array().map(Vec::len), Some(2), "{text}: {}", both.json);
            assert!(both.is_well(), "{}", both.json);
        }

        // For an address of another node the error names the node to run it on.
        let refused = |node, one: &str, other: &str, words: &[&str]| -> Result<(), Error> {
            let output = trace(node, &[one, other])?.fails()?;
            assert_eq!(output.status.and_then(|status| status.code()), Some(2), "{}", output.report());
            for word in words {
                assert!(output.stderr.contains(word), "{word:?} is missing in {}", output.stderr);
            }
            Ok(())
        };
        let [web_ip, db_ip] = [at_web[0], at_db[0]].map(|ip| ip.to_string());
        refused(two, &web_ip, &db_ip, &[&web_ip, &db_ip, "neither", "on node1 run: podlan-node trace"])?;
        refused(one, &web_ip, "192.0.2.1", &["192.0.2.1 is not a pod of this cluster"])?;
        refused(one, &web_ip, "nobody", &["no lease of this node", "\"nobody\""])?;
        refused(one, &web_ip, &web_ip, &["the same pod"])?;
        refused(one, &web_ip, &at_far[1].to_string(), &["no addresses of the same family"])?;

        // Another program translates addresses: trace reports it, and packets show it.
        if nft(one, "add table inet other")? {
            nft(one, "add chain inet other out { type nat hook postrouting priority 100 ; }")?;
            nft(one, "add rule inet other out ip saddr 10.244.1.0/24 masquerade")?;
            is_red(one, [at_web[0], at_far[0]], &["there node"], &["inet other out", "NOT kept"])?;
            assert_eq!(seen(&web, at_web[0], &far, at_far[0])?, Some(one.v4()), "the address is translated");
            nft(one, "delete table inet other")?;
            is_well(one, at_web[0], at_far[0])?;
        }
        Ok(())
    });
}

#[test]
fn trace_shows_that_podlans_own_masquerade_does_not_apply_between_pods() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, far) = (one.pod("web")?, two.pod("far")?);
        let _agents = [one.agent(&["--masquerade"])?, two.agent(&[])?];
        let [at_web, at_far] = [at(&web.add(&one.podnet())?)?, at(&far.add(&two.podnet())?)?];
        for family in FAMILIES {
            is_well(one, at_web[family], at_far[family])?;
            assert_eq!(seen(&web, at_web[family], &far, at_far[family])?, Some(at_web[family]));
        }
        Ok(())
    });
}

#[test]
fn each_damage_turns_its_own_hop_red() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, far) = (one.pod("web")?, two.pod("far")?);
        let agent = one.agent(&["--no-keep-forwarding"])?;
        let _other = two.agent(&[])?;
        let [at_web, at_far] = [at(&web.add(&one.podnet())?)?, at(&far.add(&two.podnet())?)?];
        let both = |family: usize| [at_web[family], at_far[family]];
        let well = || FAMILIES.iter().try_for_each(|family| is_well(one, at_web[*family], at_far[*family]).map(drop));
        well()?;
        let said = is_well(one, at_web[0], at_far[0])?;
        let link = said.hop("there host-link", 0)["interface"].as_str().unwrap_or_default().to_owned();
        let (node, everywhere) = (["there node"], ["there node", "back node"]);

        for (family, setting) in
            ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"].iter().enumerate()
        {
            write(one, setting, "0")?;
            is_red(one, both(family), &everywhere, &["forwarding is off", "sysctl -w"])?;
            assert!(is_cut(&web, at_web[family], &far, at_far[family])?, "no packet passes");
            write(one, setting, "1")?;
        }
        well()?;

        if nft(one, "add table inet docker")? {
            nft(one, "add chain inet docker FORWARD { type filter hook forward priority 0 ; policy drop ; }")?;
            for family in FAMILIES {
                is_red(
                    one,
                    both(family),
                    &everywhere,
                    &["inet docker FORWARD drops it by its policy", "--accept-forward"],
                )?;
                assert!(is_cut(&web, at_web[family], &far, at_far[family])?, "no packet passes");
            }
            nft(one, "delete table inet docker")?;
            well()?;
        }

        // A stopped agent restores nothing, and the pods' links follow no MTU.
        agent.signal(Signal::SIGSTOP)?;

        write(one, "/sys/class/net/eth0/mtu", "1400")?;
        is_red(one, both(0), &["there uplink"], &["eth0 has an MTU of 1400"])?;
        write(one, "/sys/class/net/eth0/mtu", "1500")?;

        for family in FAMILIES {
            let theirs = two.pod_cidrs()[family];
            one.place().remove_route(theirs)?;
            is_red(one, both(family), &node, &["is not routed", "a running agent restores it"])?;
            assert!(is_cut(&web, at_web[family], &far, at_far[family])?, "no packet passes");
            // Another route in its place that leads elsewhere; then one that leads nowhere.
            let via = if family == 0 { "172.31.0.99" } else { "fd31::99" };
            let other = Route { gateway: via.parse().ok(), metric: 110, ..Route::to(theirs, 4) };
            change(one.place(), || other.add())?;
            is_red(one, both(family), &node, &[via, "proto static", "find the program that made it (protocol 4"])?;
            change(one.place(), || other.remove())?;
            let hole = Route { kind: RouteKind::Unreachable, metric: 110, ..Route::to(theirs, 3) };
            change(one.place(), || hole.add())?;
            is_red(
                one,
                both(family),
                &node,
                &["unreachable", "proto boot", "find the program that made it (protocol 3"],
            )?;
            change(one.place(), || hole.remove())?;
        }
        agent.signal(Signal::SIGCONT)?;
        well()?;

        // The pod's own route, which a running agent puts back: its packets count as forged, and packets for it are not
        // delivered.
        agent.signal(Signal::SIGSTOP)?;
        for family in FAMILIES {
            one.place().remove_route(at_web[family].into())?;
            is_red(
                one,
                both(family),
                &["there host-link", "back node"],
                &["is not routed back to", &link, "proto 112"],
            )?;
            assert!(is_cut(&web, at_web[family], &far, at_far[family])?, "no packet passes");
            let device = one.place().enter(|| if_nametoindex(link.as_str()).ok())?;
            let route = Route { device, ..Route::to(at_web[family].into(), netlink::POD_ROUTE) };
            change(one.place(), || route.add())?;
        }
        agent.signal(Signal::SIGCONT)?;
        well()?;

        one.cable(false)?;
        is_red(one, both(0), &["there uplink", "back uplink"], &["eth0 has no carrier"])?;
        one.cable(true)?;
        well()?;

        // A strict reverse path filter where the answer takes another path.
        write(one, "/proc/sys/net/ipv4/conf/eth0/rp_filter", "1")?;
        one.place().occupy("other0")?;
        change(one.place(), || Link::up(if_nametoindex("other0").unwrap_or_default()))?;
        let device = one.place().enter(|| if_nametoindex("other0").ok())?;
        let aside = Route { device, ..Route::to(at_far[0].into(), 4) };
        change(one.place(), || aside.add())?;
        is_red(one, both(0), &["there node", "back uplink"], &["rp_filter drops it", "other0"])?;
        change(one.place(), || aside.remove())?;
        well()?;

        web.place().switch("eth0", false)?;
        is_red(one, both(0), &["there pod", "back pod"], &["eth0 in the pod is down"])?;
        web.place().switch("eth0", true)?;
        agent.signal(Signal::SIGSTOP)?;
        one.place().switch(&link, false)?;
        is_red(one, both(0), &["there host-link", "back host-link"], &[&format!("{link} is down")])?;
        agent.signal(Signal::SIGCONT)?;
        agent.stop(SOON).map(drop)
    });
}

#[test]
fn a_dead_lease_and_an_unused_address_are_reported_at_the_pod_hop() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, gone) = (one.pod("web")?, one.pod("gone")?);
        io("make net.d", fs::create_dir_all(one.path("/run/net.d")))?;
        let _agent = one.agent(&["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"])?;
        eventually(SOON, "the conflist is there", || {
            let there = fs::exists(one.path("/run/net.d/10-podlan.conflist")).unwrap_or(false);
            if there { Ok(()) } else { Err("it is not".to_owned()) }
        })?;
        let at_web = at(&web.add(&one.podnet())?)?;
        let unused = "10.244.1.77".parse().unwrap_or(at_web[0]);
        is_red(one, [at_web[0], unused], &["there pod", "back pod"], &["no pod of node1 has 10.244.1.77", "leases"])?;

        // In a directory of leases outside of the agent's configuration.
        let mut config = one.podnet();
        config["name"] = json!("old");
        config["ipam"]["dataDir"] = json!("/run/old");
        config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/24", "rangeStart": "10.244.1.200" }]]);
        let at_gone = gone.add(&config)?.v4()?.to_string();
        gone.remove()?;
        let arguments = [&at_web[0].to_string(), at_gone.as_str(), "--data-dir", "/run/old"];
        eventually(SOON, "the lease is dead", || {
            let output = trace(one, &arguments).and_then(Command::run).map_err(|error| error.to_string())?;
            let wrong = output.stdout.matches("is provably gone, and its lease is dead").count();
            let red = output.status.and_then(|status| status.code()) == Some(1) && output.stdout.contains("wrong: 2\n");
            if wrong == 2 && red { Ok(()) } else { Err(output.report()) }
        })?;

        // `leases` reports the same, of both directories; of a pod that lost only its link, it reports only that.
        let state = |more: &[&str], address: &str| -> Result<Value, Error> {
            let arguments = one.command(binaries::find("podlan-node")?).args(["leases", "--json"]).args(more);
            let lines: Value = serde_json::from_str(&arguments.succeeds()?).unwrap_or(Value::Null);
            let mut lines = lines.as_array().cloned().unwrap_or_default().into_iter();
            Ok(lines.find(|line| line["address"] == address).unwrap_or_default())
        };
        let (old, own) = (["--data-dir", "/run/old"], at_web[0].to_string());
        assert_eq!([state(&old, &at_gone)?["state"].clone(), state(&old, &own)?["state"].clone()], ["gone", "live"]);
        let web_line = state(&[], &own)?;
        assert_eq!([&web_line["state"], &state(&[], &at_gone)?], [&json!("live"), &Value::Null]);
        one.place().remove_link(web_line["hostLink"].as_str().unwrap_or_default())?;
        assert_eq!(state(&[], &own)?["state"], "unlinked");
        Ok(())
    });
}

#[test]
fn a_pod_that_does_not_answer_is_reported_at_its_link_and_the_named_fix_restores_it() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, db) = (one.pod("web")?, one.pod("db")?);
        let _agent = one.agent(&[])?;
        for which in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv4/conf/{which}/arp_ignore");
            io("silence the pod", web.place().enter(|| fs::write(&path, "2"))?)?;
        }
        let added = web.add(&one.podnet())?;
        let [at_web, at_db] = [at(&added)?, at(&db.add(&one.podnet())?)?];
        for family in FAMILIES {
            is_well(one, at_web[family], at_db[family])?;
        }
        let link = added.result["interfaces"][0]["name"].as_str().unwrap_or_default().to_owned();
        let ip = at_web[0];
        let forget = || one.command("ip").args(["neigh", "del", &ip.to_string(), "dev", &link]).succeeds();
        forget()?;
        let named = is_well(one, ip, at_db[0])?.hop("back host-link", 1)["text"].to_string();
        assert!(named.contains(&format!("no neighbour entry of {ip}")), "{named}");
        assert!(is_cut(&db, at_db[0], &web, ip)?);
        is_red(one, [ip, at_db[0]], &["back host-link"], &["does not answer on", "arp_ignore=0"])?;
        for which in ["all", "eth0"] {
            let path = format!("/proc/sys/net/ipv4/conf/{which}/arp_ignore");
            io("apply the named fix", web.place().enter(|| fs::write(&path, "0"))?)?;
        }
        eventually(SOON, "the pod is reachable again", || match seen(&db, at_db[0], &web, ip) {
            Ok(Some(who)) if who == at_db[0] => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        is_well(one, ip, at_db[0]).map(drop)
    });
}
