//! podlan-ipam killed, or refused by the kernel, at every single system call that it makes.
//! Needs strace: its absence is a loud skip on a laptop and a failure where CI=true.

use std::collections::BTreeSet;
use std::process::Output;

use ipam::Audit;
use serde_json::json;

use crate::call::{Net, has_strace};

/// A verb under strace with the nth call of one system call tampered with.
fn tampered(net: &Net, verb: &str, id: &str, call: &str, tamper: &str, when: usize) -> Output {
    let inject = format!("--inject={call}:{tamper}:when={when}");
    net.start(net.traced(verb, id, &[&format!("--trace={call}"), &inject])).wait_with_output().unwrap()
}

fn was_hit(net: &Net) -> bool {
    let trace = std::fs::read_to_string(net.trace()).unwrap();
    trace.contains("INJECTED") || trace.contains("killed by SIGKILL")
}

struct Case {
    name: &'static str,
    verb: &'static str,
    id: &'static str,
    net: Net,
}

fn cases() -> Vec<Case> {
    let filled = |ids: &[&str], gone: &[&str]| {
        let net = Net::new(&["10.1.0.0/28", "2001:db8::/124"]);
        ids.iter().for_each(|id| drop(net.add(id)));
        gone.iter().for_each(|id| drop(net.call("DEL", id).unwrap()));
        net
    };
    let all: Vec<String> = (0..13).map(|number| format!("p{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut gc = filled(&["c1", "c2", "c3"], &[]);
    gc.config["cni.dev/valid-attachments"] = json!([{"containerID": "c2", "ifname": "eth0"}]);
    vec![
        Case { name: "first ADD", verb: "ADD", id: "c9", net: Net::new(&["10.1.0.0/28", "2001:db8::/124"]) },
        Case { name: "ADD of a new address", verb: "ADD", id: "c9", net: filled(&["c1", "c2"], &["c1"]) },
        Case { name: "ADD of a released address", verb: "ADD", id: "c9", net: filled(&all, &["p3", "p7"]) },
        Case { name: "DEL", verb: "DEL", id: "c2", net: filled(&["c1", "c2", "c3"], &["c1"]) },
        Case { name: "GC", verb: "GC", id: "", net: gc },
    ]
}

fn owners(audit: &Audit) -> BTreeSet<(String, String)> {
    audit.leases.iter().map(|lease| (lease.owner.container_id.to_string(), lease.address.to_string())).collect()
}

/// The system calls that a verb makes, by name.
fn calls_of(case: &Case) -> BTreeSet<String> {
    let net = case.net.copy();
    assert!(net.start(net.traced(case.verb, case.id, &[])).wait_with_output().unwrap().status.success());
    let trace = std::fs::read_to_string(net.trace()).unwrap();
    let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    // The first, and the one that never returns.
    trace.lines().filter_map(name).filter(|name| !matches!(name.as_str(), "execve" | "exit_group")).collect()
}

/// Tamper with each of a verb's calls in turn, by name and index; returns how many there were.
fn sweep_all(case: &Case, tamper: &str, pick: impl Fn(&str) -> bool) -> usize {
    calls_of(case).iter().filter(|call| pick(call)).map(|call| sweep(case, call, tamper)).sum()
}

/// Tamper with each call of one name in turn.
fn sweep(case: &Case, call: &str, tamper: &str) -> usize {
    let before = owners(&case.net.audit());
    let done = case.net.copy();
    done.call(case.verb, case.id).unwrap();
    let after = owners(&done.audit());
    for when in 1..1000 {
        let net = case.net.copy();
        let output = tampered(&net, case.verb, case.id, call, tamper, when);
        if !was_hit(&net) {
            assert!(output.status.success(), "{}: {output:?}", case.name);
            return when - 1;
        }
        let context = format!("{}, {tamper} at {call} number {when}", case.name);
        let now = owners(&net.audit());
        if case.verb == "GC" {
            assert!(after.is_subset(&now) && now.is_subset(&before), "{context}: {now:?}");
        } else {
            assert!(now == before || now == after, "{context}: {now:?}");
        }
        if output.status.success() {
            assert_eq!(now, after, "{context}: reported and not done");
        } else if tamper.starts_with("error") && !output.stdout.is_empty() {
            let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(error["code"].as_u64().is_some_and(|code| code > 0), "{context}: {error}");
        }
        // The runtime's way out: DEL, then again.
        if case.verb == "ADD" {
            net.call("DEL", case.id).unwrap_or_else(|error| panic!("{context}: DEL: {error}"));
            assert_eq!(owners(&net.audit()), before, "{context}: not won back");
        }
        net.call(case.verb, case.id).unwrap_or_else(|error| panic!("{context}: again: {error}"));
        assert_eq!(owners(&net.audit()).len(), after.len(), "{context}");
    }
    panic!("{}: calls without end", case.name);
}

/// E-36, I3, I4.
#[test]
fn a_kill_at_any_system_call_leaves_before_or_after() {
    if !has_strace() {
        return;
    }
    let points: usize = cases().iter().map(|case| sweep_all(case, "signal=KILL", |_| true)).sum();
    println!("{points} system calls killed");
    assert!(points > 200);
}

/// E-33, E-34.
#[test]
fn a_refusal_of_any_write_is_an_error_and_changes_nothing() {
    if !has_strace() {
        return;
    }
    let writes = |call: &str| {
        ["pwrite", "fsync", "fdatasync", "rename", "mkdir", "ftruncate"].iter().any(|name| call.starts_with(name))
    };
    let mut points = 0;
    for errno in ["ENOSPC", "EIO", "EROFS", "EDQUOT"] {
        points += cases().iter().map(|case| sweep_all(case, &format!("error={errno}"), writes)).sum::<usize>();
    }
    println!("{points} writes refused");
    assert!(points > 100);
}
