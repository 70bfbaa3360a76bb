//! The threads of a running agent, as the kernel shows them: each is in the agent's network namespace and has the agent's
//! capabilities; the main thread alone takes signals.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use podlan_conformance::agent::{has_routes_to, is_ready, state, stop};
use podlan_conformance::lab::{Lab, binaries, eventually, within};

const SOON: Duration = Duration::from_secs(20);

/// The parts, the log's writer, and the worker for the one lease store there is. The main thread is the process.
const THREADS: [&str; 13] = [
    "conditions",
    "control",
    "files",
    "forwarding",
    "leases",
    "log",
    "packet filter",
    "pod MTU",
    "podlan-node",
    "probes",
    "reports",
    "source",
    "store",
];

/// SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM and SIGCHLD, as bits of `SigBlk`.
const SIGNALS: u64 = bits(&[1, 2, 3, 10, 12, 13, 14, 15, 17]);

const fn bits(signals: &[u32]) -> u64 {
    let (mut all, mut i) = (0, 0);
    while i < signals.len() {
        all |= 1 << (signals[i] - 1);
        i += 1;
    }
    all
}

/// What the kernel shows of a thread.
#[derive(Debug)]
struct Thread {
    netns: String,
    capabilities: String,
    blocked: u64,
}

/// All threads of a process by their names.
fn threads(pid: u64) -> Result<BTreeMap<String, Thread>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(failed)? {
        let task = task.map_err(failed)?.path();
        let (name, thread) = thread(&task)?;
        if let Some(twin) = threads.insert(name.clone(), thread) {
            return Err(format!("two threads are called {name}: {twin:?}"));
        }
    }
    Ok(threads)
}

fn thread(task: &Path) -> Result<(String, Thread), String> {
    let failed = |error: std::io::Error| error.to_string();
    let name = fs::read_to_string(task.join("comm")).map_err(failed)?.trim().to_owned();
    let status = fs::read_to_string(task.join("status")).map_err(failed)?;
    let field = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        value.map(str::to_owned).ok_or_else(|| format!("no {field} in {status}"))
    };
    let netns = fs::read_link(task.join("ns/net")).map_err(failed)?.display().to_string();
    let blocked = u64::from_str_radix(&field("SigBlk")?, 16).map_err(|error| error.to_string())?;
    Ok((name, Thread { netns, capabilities: field("CapEff")?, blocked }))
}

#[test]
fn each_thread_has_the_agents_network_namespace_and_capabilities_and_takes_no_signals() {
    within(|| {
        let lab = Lab::new(2)?;
        let [node, peer] = lab.these();
        // A lease, so that its store has a worker.
        let web = node.pod("web")?;
        web.add(&node.podnet())?;
        let agent = node
            .command(binaries::find("podlan-node")?)
            .args(["run", "--node-name", node.name(), "--nodes", Lab::NODES_FILE, "--resync", "300ms"])
            .spawn()?;
        has_routes_to(node, peer)?;
        let pid = state(node)["pid"].as_u64().unwrap_or_default();
        let expected: Vec<&str> = THREADS.to_vec();
        let mut seen = BTreeMap::new();
        eventually(SOON, &format!("the threads {expected:?}"), || {
            is_ready(node, u32::try_from(pid).unwrap_or_default())?;
            seen = threads(pid)?;
            if seen.keys().eq(&expected) { Ok(()) } else { Err(format!("{seen:?}")) }
        })?;
        let main = &seen["podlan-node"];
        assert_eq!(main.blocked & SIGNALS, 0, "the main thread takes signals: {main:?}");
        for (name, thread) in seen.iter().filter(|(name, _)| *name != "podlan-node") {
            assert_eq!(thread.netns, main.netns, "{name}");
            assert_eq!(thread.capabilities, main.capabilities, "{name}");
            assert_eq!(thread.blocked & SIGNALS, SIGNALS, "{name} takes a signal: {thread:?}");
        }
        stop(agent)
    });
}
