//! A kernel before 5.2 makes no NAT chain in the family inet: tables of `ip` and `ip6` do the same, and the two shapes follow each
//! other with nothing left over.
//!
//! ```text
//!   node1 (agent) ───── node2, which has no routes to the pods
//!     └── web 8080 -> 7777
//! ```

use podlan_conformance::agent::stop;
use podlan_conformance::lab::{Error, Lab, Node, PORT, Pod, eventually, every, within};
use podlan_conformance::traffic::{Answer, Protocol, Target, probe};
use serde_json::{Value, json};

use super::rig::{Rig, SOON};

const WHOLE: [&str; 2] = ["table inet podlan-hostport", "table inet podlan-masquerade"];
const SPLIT: [&str; 4] = [
    "table ip podlan-hostport",
    "table ip podlan-masquerade",
    "table ip6 podlan-hostport",
    "table ip6 podlan-masquerade",
];

/// podlan's tables with NAT.
fn tables(node: &Node) -> Result<Vec<String>, Error> {
    let listed = node.command("nft").args(["list", "tables"]).succeeds()?;
    let mut tables: Vec<String> =
        listed.lines().filter(|line| line.contains("podlan-") && !line.contains("-probe")).map(str::to_owned).collect();
    tables.sort_unstable();
    Ok(tables)
}

fn become_tables(node: &Node, expected: &[&str], when: &str) -> Result<(), Error> {
    eventually(SOON, &format!("{expected:?} {when}"), || match tables(node).map_err(|error| error.to_string())? {
        now if now == expected => Ok(()),
        now => Err(format!("{now:?}")),
    })
}

/// The host port leads to the pod in both families, and the pod's traffic has the node's address outside.
fn all_is_translated(node: &Node, web: &Pod<'_>, outside: &Node) -> Result<(), Error> {
    eventually(SOON, "NAT is in force", || {
        let failed = |error: Error| error.to_string();
        for (at, from) in node.ips().into_iter().zip(outside.ips()) {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let asked =
                    outside.place().enter(|| probe(Target { protocol, address: at }, 8080, None)).map_err(failed)?;
                match asked.answer {
                    Answer::Saw(seen) if seen == from => {}
                    _ => return Err(format!("port 8080: {asked}")),
                }
            }
        }
        for report in web.place().ask(&every(&outside.ips())).map_err(failed)? {
            match &report.answer {
                Answer::Saw(seen) if node.ips().contains(seen) => {}
                _ => return Err(format!("egress: {report}")),
            }
        }
        Ok(())
    })
}

fn config(node: &Node) -> Value {
    let mapping = |protocol: &str| json!({ "hostPort": 8080, "containerPort": PORT, "protocol": protocol });
    let mut config = node.podnet();
    config["runtimeConfig"] = json!({ "portMappings": [mapping("tcp"), mapping("udp")] });
    config
}

#[test]
fn nat_is_the_same_in_two_tables_and_follows_the_kernel_from_one_shape_to_the_other() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, outside] = lab.these();
        lab.list(&[one])?;
        let (older, newer, config) = (Rig::new(one, "inet-nat"), Rig::new(one, "strict-checking"), config(one));
        let _outside = outside.serve()?;

        let agent = older.agent(&["--masquerade"])?;
        let web = one.pod("web")?;
        let added = older.add(&web, &config)?;
        let _server = web.serve()?;
        become_tables(one, &SPLIT, "on an older kernel")?;
        all_is_translated(one, &web, outside)?;
        let checked = older.check(&web, &config, &added)?;
        assert!(checked.success(), "{}", checked.report());
        assert_eq!(older.unrepeated_warnings(), Vec::<String>::new(), "{}", agent.stderr());
        // Another program removes them.
        one.command("nft").args(["flush", "ruleset"]).succeeds()?;
        become_tables(one, &SPLIT, "again")?;
        all_is_translated(one, &web, outside)?;
        // A second pod, and one that goes.
        let late = one.pod("late")?;
        let taken = older.call(&late, "ADD", &config)?.complaint()?;
        assert!(taken.text.contains("8080") && taken.text.contains("is held by"), "{taken:?}");

        // To one table.
        stop(agent)?;
        let agent = newer.agent(&["--masquerade"])?;
        become_tables(one, &WHOLE, "on a newer kernel")?;
        all_is_translated(one, &web, outside)?;
        let checked = newer.check(&web, &config, &added)?;
        assert!(checked.success(), "{}", checked.report());

        // And back, once the one table cannot be put right.
        stop(agent)?;
        one.shell("nft delete table inet podlan-masquerade; nft flush chain inet podlan-hostport prerouting; nft delete chain inet podlan-hostport prerouting")?;
        let agent = older.agent(&["--masquerade"])?;
        become_tables(one, &SPLIT, "on an older kernel again")?;
        all_is_translated(one, &web, outside)?;

        let deleted = older.call(&web, "DEL", &config)?;
        assert!(deleted.success(), "{}", deleted.report());
        let rules = one.command("nft").args(["list", "ruleset"]).succeeds()?;
        assert!(!rules.contains("8080"), "{rules}");
        stop(agent)?;
        let cleaned = older.ask(&["cleanup"])?;
        assert!(cleaned.stdout.contains("removed the table ip6 podlan-hostport"), "{}", cleaned.report());
        assert_eq!(tables(one)?, Vec::<String>::new());
        Ok(())
    });
}
