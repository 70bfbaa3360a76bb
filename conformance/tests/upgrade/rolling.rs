//! Two nodes go from the earlier build to this one, back, and forth again, one after the other, with traffic all the time.
//!
//! ```text
//!   node1                                           node2
//!     ├── web     8080 -> 7777, by portmap  <──┬──    ├── far   holds and opens connections to web and to node1:8080
//!     ├── near    holds and opens them to web ─┘      └── sink
//!     ├── thief   sends as victim, to target and sink
//!     └── victim, target; others come and go
//! ```

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Error, Lab, PORT, eventually, within};
use serde_json::Value;

use crate::build::{Build, SOON, old_and_new};
use crate::host_ports::{answers, is_closed, portmap_knows, to_server};
use crate::left::Left;
use crate::member::{Age, Builds, Member};
use crate::runtime::{Attached, add, portmap};
use crate::traffic::{Forger, Steady};
use crate::{leases, runtime};

/// What goes on all the time.
struct Traffic {
    clients: Vec<Steady>,
    forger: Forger,
}

impl Traffic {
    /// It went on through the step before, and goes on now.
    #[expect(clippy::print_stdout, reason = "the figures of the test; libtest shows them on request")]
    fn survived(&self, step: &str) -> Result<(), Error> {
        self.clients.iter().try_for_each(Steady::goes_on)?;
        self.forger.is_stopped()?;
        let sums = self.clients.iter().map(Steady::sums);
        let (asked, carried, failed) = sums.fold((0, 0, 0), |(asked, carried, failed), sums| {
            (asked + sums.asked, carried + sums.carried, failed + sums.failed)
        });
        let sent = self.forger.sent();
        println!(
            "{step}: connections opened {asked}, lines carried by held ones {carried}, lost {failed}; forged datagrams sent {sent}, passed 0"
        );
        Ok(())
    }
}

/// Every living pod is what the installed plugin and this build's commands expect.
fn whole(build: &Build, node: &Member<'_>, living: &[&Attached<'_>]) -> Result<(), Error> {
    living.iter().try_for_each(|attached| attached.check())?;
    leases::are_of(build, node.node, living)?;
    build.node(node.node, &["status"]).succeeds().map(drop)
}

/// The doctor of this build ends with 0.
fn is_healthy(builds: &Builds, member: &Member<'_>) -> Result<(), Error> {
    eventually(SOON, "the doctor finds nothing", || {
        let output = builds.new.node(member.node, &["doctor"]).run().map_err(|error| error.to_string())?;
        if output.success() { Ok(()) } else { Err(output.report()) }
    })
}

fn forth_and_back(builds: &Builds, portmap: &std::path::Path) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [one, two] = lab.these();
    for node in [one, two] {
        node.shell("echo 2 > /proc/sys/net/ipv4/conf/all/rp_filter")?;
    }
    let mut first = Member::new(one, builds, portmap)?;
    let mut second = Member::new(two, builds, portmap)?;
    let before = Left::of(one)?;
    let none = || Value::Null;

    let web = add(one.pod("web")?, to_server(8080))?;
    let [near, thief, victim, target] =
        ["near", "thief", "victim", "target"].map(|name| one.pod(name).and_then(|pod| add(pod, none())));
    let (near, thief, victim, target) = (near?, thief?, victim?, target?);
    let [far, sink] = ["far", "sink"].map(|name| two.pod(name).and_then(|pod| add(pod, none())));
    let (far, sink) = (far?, sink?);
    // These end under the other build.
    let mapped = add(one.pod("mapped")?, to_server(8082))?;
    let plain = add(one.pod("plain")?, none())?;
    let _servers = [web.pod.serve()?, far.pod.serve()?, mapped.pod.serve()?];
    answers(two, one, 8080)?;
    answers(two, one, 8082)?;
    assert!(portmap_knows(one, "mapped")?, "it is portmap that maps");

    let at = |attached: &Attached<'_>| attached.added.ips().into_iter().map(|ip| (ip, PORT)).collect::<Vec<_>>();
    let to_node = one.ips().into_iter().map(|ip| (ip, 8080));
    let forger = Forger::start(&thief, &victim, &[&target, &sink])?;
    forger.would_be_seen(&victim, &[&target, &sink])?;
    let clients = vec![
        Steady::start("near to web, on one node", &near.pod, &at(&web))?,
        Steady::start("near to far, between nodes", &near.pod, &at(&far))?,
        Steady::start("far to web, between nodes", &far.pod, &at(&web))?,
        Steady::start("far to the host port", &far.pod, &to_node.collect::<Vec<_>>())?,
    ];
    let traffic = Traffic { clients, forger };
    let lasting = [&web, &near, &thief, &victim, &target];
    whole(&builds.old, &first, &[&lasting[..], &[&mapped, &plain]].concat())?;
    traffic.survived("before")?;

    // The upgrade, one node after the other.
    first.becomes(Age::New)?;
    traffic.survived("node1 upgraded")?;
    whole(&builds.new, &first, &[&lasting[..], &[&mapped, &plain]].concat())?;
    let fresh = add(one.pod("fresh")?, to_server(8081))?;
    let stale = add(one.pod("stale")?, to_server(8084))?;
    let brief = add(one.pod("brief")?, none())?;
    let _fresh_servers = [fresh.pod.serve()?, stale.pod.serve()?];
    for port in [8080, 8081, 8082, 8084] {
        answers(two, one, port)?;
    }
    runtime::gc(one, &[&lasting[..], &[&mapped, &plain, &fresh, &stale, &brief]].concat())?;
    for port in [8080, 8081, 8082, 8084] {
        answers(two, one, port)?;
    }
    mapped.del()?;
    assert!(!portmap_knows(one, "mapped")?, "what portmap laid goes with the pod");
    is_closed(two, one, 8082);
    plain.del()?;
    whole(&builds.new, &first, &[&lasting[..], &[&fresh, &stale, &brief]].concat())?;
    second.becomes(Age::New)?;
    traffic.survived("node2 upgraded")?;
    whole(&builds.new, &second, &[&far, &sink])?;

    // The rollback.
    first.becomes(Age::Old)?;
    traffic.survived("node1 rolled back")?;
    whole(&builds.old, &first, &[&lasting[..], &[&fresh, &stale, &brief]].concat())?;
    let later = add(one.pod("later")?, to_server(8083))?;
    let _later_server = later.pod.serve()?;
    for port in [8080, 8081, 8083] {
        answers(two, one, port)?;
    }
    brief.del()?;
    stale.del()?;
    // This is what cannot be rolled back: the earlier plugin does not know of it.
    assert!(table(one)?.contains("8084") && records(one).len() == 2, "{:?}\n{}", records(one), table(one)?);
    whole(&builds.old, &first, &[&lasting[..], &[&fresh, &later]].concat())?;
    second.becomes(Age::Old)?;
    traffic.survived("node2 rolled back")?;
    whole(&builds.old, &second, &[&far, &sink])?;

    // Forward again: what the earlier plugin left is collected.
    first.becomes(Age::New)?;
    second.becomes(Age::New)?;
    traffic.survived("both upgraded again")?;
    eventually(SOON, "the host port of the pod that is gone is collected", || {
        let table = table(one).map_err(|error| error.to_string())?;
        let collected = !table.contains("8084") && table.contains("8081") && records(one).len() == 1;
        if collected { Ok(()) } else { Err(table) }
    })?;
    whole(&builds.new, &first, &[&lasting[..], &[&fresh, &later]].concat())?;
    whole(&builds.new, &second, &[&far, &sink])?;
    later.del()?;
    assert!(!portmap_knows(one, "later")?, "what portmap laid goes with the pod");
    for port in [8080, 8081] {
        answers(two, one, port)?;
    }
    for member in [&first, &second] {
        is_healthy(builds, member)?;
    }
    traffic.survived("at the end")?;

    drop(traffic);
    for attached in [web, near, thief, victim, target, fresh] {
        attached.del()?;
    }
    leases::are_of(&builds.new, one, &[])?;
    is_healthy(builds, &first)?;
    let left = Left::of(one)?.since(&before);
    let of_probes = |line: &&String| PROBES.iter().any(|name| line.contains(name));
    let (probes, left): (Vec<&String>, Vec<&String>) = left.iter().partition(of_probes);
    assert!(probes.len() > 10 && left == LEFT, "{probes:#?}\n{left:#?}");
    Ok(())
}

/// What a node has more of, after its pods are gone, than before its first pod under the earlier build.
const LEFT: [&str; 7] = [
    "+ table inet podlan-hostport",
    "+ /run/podlan/_hostports",
    "+ /run/podlan/_hostports/lock",
    "+ /run/podlan/podnet",
    "+ /run/podlan/podnet/adds",
    "+ /run/podlan/podnet/lock",
    "+ /run/podlan/podnet/store",
];

/// What belongs to the endpoint of the path probes.
const PROBES: [&str; 5] = ["podlan-probe", "podlprobe", "podprobe0", "table 1111001", "table 1111002"];

#[test]
fn upgrade_and_rollback_lose_no_connection_no_host_port_and_no_lease_and_let_no_forged_packet_pass() {
    let Some([old, new]) = old_and_new() else { return };
    let Some(portmap) = portmap() else { return };
    within(|| forth_and_back(&Builds { old, new }, &portmap));
}
