//! The system calls, netlink requests, page faults and instructions of one ADD, one STATUS and one DEL, compared with the
//! recorded counts. Counted, not timed, so that load on the machine changes nothing.
//!
//! A count outside its bounds is a decision: fix what made it grow, or record the new count here, a lower one too.

use std::process::Command;

use podlan_conformance::cost;
use podlan_conformance::lab::{Error, Lab, Node, Pod, binaries, has_strace, skip, within};
use serde_json::json;

/// The recorded counts of one call.
struct Cost {
    verb: &'static str,
    families: usize,
    system: u64,
    netlink: u64,
    /// For which nothing is read from a disk.
    page_faults: u64,
    /// Of the program itself.
    instructions: u64,
}

/// Of the release build, for pods of one IPv4 subnet, and of one IPv4 and one IPv6 subnet.
const SEEN: [Cost; 6] = [
    Cost { verb: "ADD", families: 1, system: 105, netlink: 19, page_faults: 60, instructions: 383_000 },
    Cost { verb: "STATUS", families: 1, system: 90, netlink: 3, page_faults: 58, instructions: 382_000 },
    Cost { verb: "DEL", families: 1, system: 80, netlink: 3, page_faults: 56, instructions: 343_000 },
    Cost { verb: "ADD", families: 2, system: 130, netlink: 30, page_faults: 63, instructions: 560_000 },
    Cost { verb: "STATUS", families: 2, system: 105, netlink: 4, page_faults: 62, instructions: 547_000 },
    Cost { verb: "DEL", families: 2, system: 84, netlink: 4, page_faults: 61, instructions: 532_000 },
];

/// In the order in which they are called.
const VERBS: [&str; 3] = ["ADD", "STATUS", "DEL"];

/// Tolerance in system calls: a page of memory more or less.
const CALLS: u64 = 3;

/// Tolerance in instructions, in percent: checksums and copies differ between CPUs.
const PERCENT: u64 = 8;

/// Tolerance in page faults: the kernel maps pages of a program in groups, which begin where it likes, as does its stack.
const FAULTS: u64 = 6;

/// Adds a default route, which real nodes have. Without one an ADD requests the subnets too.
fn settle(node: &Node) -> Result<(), Error> {
    node.command("ip").args(["route", "add", "default", "via", "172.31.0.254", "dev", "eth0"]).succeeds().map(drop)
}

fn config(node: &Node, families: usize, verb: &str) -> String {
    let mut config = node.podnet();
    if verb == "STATUS" {
        config["cniVersion"] = json!("1.1.0");
    }
    config["name"] = json!(format!("net{families}"));
    if let Some(ranges) = config["ipam"]["ranges"].as_array_mut() {
        ranges.truncate(families);
    }
    config.to_string()
}

/// The plugin as a runtime calls it.
fn call(verb: &str, pod: &Pod<'_>) -> Result<Command, Error> {
    let program = binaries::find("podlan")?;
    let mut command = Command::new(&program);
    command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", "0123456789abcdef".repeat(4));
    command.env("CNI_NETNS", pod.netns()).env("CNI_IFNAME", "eth0").env("CNI_PATH", "/opt/cni/bin");
    Ok(command)
}

fn has_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        skip("valgrind is missing (apt-get install valgrind)");
    }
    found
}

/// Calls each verb in turn; `count` runs the call.
fn each<T: Send>(
    node: &Node,
    name: &str,
    families: usize,
    count: impl Fn(Command, &[u8]) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let of = |verb: &str, pod: &Pod<'_>| -> Result<T, Error> {
        node.place().enter(|| count(call(verb, pod)?, config(node, families, verb).as_bytes()))?
    };
    // The first pod of a network creates its store.
    for warm in 0..2 {
        let pod = node.pod(&format!("{name}-{warm}"))?;
        for verb in VERBS {
            of(verb, &pod)?;
        }
    }
    let pod = node.pod(name)?;
    VERBS.into_iter().map(|verb| of(verb, &pod)).collect()
}

/// Calls each verb with one family and with both; `differs` compares a count with the recorded one.
fn all_are_as_recorded<T: Send>(
    from: &str,
    count: impl Fn(Command, &[u8]) -> Result<T, Error> + Sync,
    differs: impl Fn(&Cost, &T) -> Option<String>,
) -> Result<(), Error> {
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    settle(node)?;
    let mut wrong = Vec::new();
    for families in [1, 2] {
        let counts = each(node, &format!("pod{families}"), families, &count)?;
        let seen = SEEN.iter().filter(|seen| seen.families == families);
        wrong.extend(seen.zip(&counts).filter_map(|(seen, count)| differs(seen, count)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Unreadable { from: from.into(), said: wrong.join("\n") }) }
}

#[test]
fn a_call_makes_no_more_system_calls_than_recorded() {
    within(|| {
        if !binaries::are_release() || !has_strace() {
            return Ok(());
        }
        all_are_as_recorded(
            "strace",
            |command, stdin| cost::calls(&command, stdin),
            |seen, calls| {
                let Cost { verb, families, system, netlink, .. } = seen;
                let differs = calls.system.abs_diff(*system) > CALLS || calls.netlink != *netlink;
                differs.then(|| format!("{verb} of {families}: {calls:?}, and it was {system} and {netlink}"))
            },
        )
    });
}

#[test]
fn a_call_executes_no_more_instructions_than_recorded() {
    within(|| {
        if !binaries::are_release() || !has_valgrind() {
            return Ok(());
        }
        all_are_as_recorded(
            "valgrind",
            |command, stdin| cost::instructions(&command, stdin),
            |seen, count| {
                let Cost { verb, families, instructions, .. } = seen;
                let differs = count.abs_diff(*instructions) * 100 > instructions * PERCENT;
                differs.then(|| format!("{verb} of {families}: {count}, and it was {instructions}"))
            },
        )
    });
}

#[test]
fn a_call_takes_no_more_page_faults_than_recorded() {
    within(|| {
        if !binaries::are_release() {
            return Ok(());
        }
        let count = |mut command: Command, stdin: &[u8]| cost::page_faults(&mut command, stdin);
        all_are_as_recorded("getrusage", count, |seen, count| {
            let Cost { verb, families, page_faults, .. } = seen;
            let differs = count.abs_diff(*page_faults) > FAULTS;
            differs.then(|| format!("{verb} of {families}: {count} page faults, and it was {page_faults}"))
        })
    });
}
