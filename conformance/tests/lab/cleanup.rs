//! A lab leaves nothing behind, however it ends: it dies with the process that made it.
//!
//! ```text
//!   this test ── podlan-lab enter ── init ── podlan-lab hold ── node1, node2
//!                     ✂ SIGKILL
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podlan_conformance::lab::{eventually, refusal, skip};

#[test]
fn a_killed_lab_leaves_no_process_mount_or_link() {
    let before = the_machine();
    let lab = env!("CARGO_BIN_EXE_podlan-lab");
    let mut outside = Command::new(lab)
        .args(["enter", "--", "sh", "-c", "sleep 1000 & exec \"$0\" hold --nodes 2", lab])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(outside.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    if line.trim() != "ready" {
        let status = outside.wait().unwrap();
        assert_eq!(status.code(), Some(i32::from(refusal::EXIT_CODE)), "the lab should be ready, not print {line:?}");
        return skip("the machine refuses the lab");
    }
    let inside = inside_of(outside.id());
    assert!(inside.len() >= 3, "init, sleep and hold should run: {inside:?}");

    outside.kill().unwrap();
    outside.wait().unwrap();

    let gone = eventually(Duration::from_secs(10), "every process of the lab is gone", || {
        let left: Vec<_> = inside.iter().filter(|pid| runs(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} still run")) }
    });
    if gone.is_err() {
        // The test kills what the lab did not: its PID 1 is the lowest process id that was started.
        kill(Pid::from_raw(inside[0].cast_signed()), Signal::SIGKILL).ok();
    }
    gone.unwrap();
    // Each process of the lab held the pipe: its end shows that no process was missed.
    said.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(the_machine(), before);
}

/// Everything that a lab could leave: mounts, links, network namespaces by name, and files in their directory.
fn the_machine() -> Vec<String> {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.path().display().to_string()).collect();
        names.sort();
        names
    };
    let links = fs::read_to_string("/proc/net/dev").unwrap();
    let links = links.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned);
    let mut all: Vec<String> = links.chain(mounts).collect();
    all.extend(["/run/netns", "/run/lab", "/run/nodes"].into_iter().flat_map(names));
    all
}

/// The processes in the pid namespace of this process's children.
fn inside_of(outside: u32) -> Vec<u32> {
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let children = fs::read_link(format!("/proc/{outside}/ns/pid_for_children")).unwrap();
    assert_ne!(own, children, "the lab should have a pid namespace of its own");
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> =
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link == children)).collect();
    pids.sort_unstable();
    pids
}

/// Whether it runs: a zombie does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
