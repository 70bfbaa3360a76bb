//! After a rollback the commands of docs/install.md remove what the earlier release does not know, and nothing else.

use std::net::SocketAddr;

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use serde_json::Value;

use crate::build::{SOON, old_and_new};
use crate::host_ports::{answers, is_closed, mapping, portmap_knows, to_server};
use crate::leases;
use crate::left::Left;
use crate::member::{Age, Builds, Member};
use crate::runtime::{Attached, add, portmap};
use crate::traffic::{Forger, Held};

const INSTALL: &str = include_str!("../../../docs/install.md");

/// The commands that the page gives for a node after a rollback.
fn commands() -> String {
    let section = INSTALL.split("\n## ").find(|section| section.starts_with("Upgrade and rollback"));
    let blocks = section.unwrap_or_default().split("```").skip(1).step_by(2);
    let of_rollback: Vec<&str> = blocks.filter(|block| block.contains("podlan-hostport")).collect();
    assert_eq!(of_rollback.len(), 1, "one block of commands in docs/install.md");
    of_rollback.concat()
}

/// `route_localnet` of the pod's link on the node.
fn localnet(node: &Node, attached: &Attached<'_>) -> Result<String, Error> {
    let link = attached.added.result["interfaces"][0]["name"].as_str().unwrap_or_default();
    node.sysctl(&format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"))
}

fn leads_back(builds: &Builds, portmap: &std::path::Path) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [one, two] = lab.these();
    one.shell("echo 2 > /proc/sys/net/ipv4/conf/all/rp_filter")?;
    let mut member = Member::new(one, builds, portmap)?;
    let _other = Member::new(two, builds, portmap)?;
    let [thief, victim, target] =
        ["thief", "victim", "target"].map(|name| one.pod(name).and_then(|pod| add(pod, Value::Null)));
    let (thief, victim, target) = (thief?, victim?, target?);
    let before = Left::of(one)?;
    let forger = Forger::start(&thief, &victim, &[&target])?;
    forger.would_be_seen(&victim, &[&target])?;

    member.becomes(Age::New)?;
    let web = add(one.pod("web")?, to_server(8081))?;
    let kept = add(one.pod("kept")?, mapping(8085, 9000))?;
    let server = web.pod.serve()?;
    answers(two, one, 8081)?;
    let held = |address| Held::open(kept.pod.place(), 9000, two.place(), SocketAddr::new(address, 8085));
    let held = [held(one.v4())?, held(one.v6())?];
    held.iter().try_for_each(Held::carries)?;
    assert_eq!(localnet(one, &web)?, "1");

    member.becomes(Age::Old)?;
    held.iter().try_for_each(Held::carries)?;
    answers(two, one, 8081)?;
    // A pod that is made again gets its port by portmap at once, beside the table of the release that left.
    drop(server);
    web.del()?;
    let web = add(one.pod("web-again")?, to_server(8081))?;
    let server = web.pod.serve()?;
    answers(two, one, 8081)?;
    assert!(portmap_knows(one, "web-again")? && table(one)?.contains("8081"));
    let of_portmap = localnet(one, &web)?;

    one.command("sh").args(["-c", &commands()]).run()?;
    assert_eq!(records(one), [] as [&str; 0]);
    held.iter().try_for_each(Held::carries)?;
    answers(two, one, 8081)?;
    is_closed(two, one, 8085);
    assert_eq!(localnet(one, &kept)?, "0", "the node's loopback is closed to a pod whose rule is gone");
    assert_eq!(localnet(one, &web)?, of_portmap, "the link of a pod created again is as portmap set it");
    forger.is_stopped()?;
    leases::are_of(&builds.old, one, &[&thief, &victim, &target, &web, &kept])?;
    for attached in [&thief, &victim, &target, &web, &kept] {
        attached.check()?;
    }
    drop((held, server));
    kept.del()?;
    web.del()?;
    eventually(SOON, "the node is as it was before the upgrade", || {
        let left = Left::of(one).map_err(|error| error.to_string())?.since(&before);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
    })?;
    eventually(SOON, "the earlier doctor finds nothing", || {
        let output = builds.old.node(one, &["doctor"]).run().map_err(|error| error.to_string())?;
        if output.success() { Ok(()) } else { Err(output.report()) }
    })?;
    // And forth again.
    member.becomes(Age::New)?;
    let web = add(one.pod("web-at-last")?, to_server(8081))?;
    let _server = web.pod.serve()?;
    answers(two, one, 8081)?;
    assert!(table(one)?.contains("8081"));
    forger.is_stopped()?;
    eventually(SOON, "the doctor finds nothing", || {
        let output = builds.new.node(one, &["doctor"]).run().map_err(|error| error.to_string())?;
        if output.success() { Ok(()) } else { Err(output.report()) }
    })
}

#[test]
fn the_commands_of_the_install_page_remove_after_a_rollback_what_the_earlier_release_does_not_know() {
    let Some([old, new]) = old_and_new() else { return };
    let Some(portmap) = portmap() else { return };
    within(|| leads_back(&Builds { old, new }, &portmap));
}
