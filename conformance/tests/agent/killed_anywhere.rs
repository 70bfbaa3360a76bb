//! The agent killed, or with a failing system call, at every system call of a start that adds, replaces and removes
//! routes and installs the plugins: partial work is never visible, and the next start completes it.
//!
//! ```text
//!   node1 (agent; /run/bin, /run/net.d) ── lan
//!     └── web   lives all the while
//!   routes before:  node2 by a wrong address, node4 that is gone, node5 as it should be, a stranger's
//!   routes after:   node2, node3, node5, the node's own CIDRs, the stranger's
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podlan_conformance::lab::{
    Added, Command, Error, Lab, Node, Output, Pod, Sabotage, binaries, has_strace, until, within,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const INSTALL: [&str; 6] = ["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d", "--resync", "200ms"];
const PLUGINS: [&str; 2] = ["podlan", "podlan-ipam"];

/// The mark of the agent's routes.
const AGENTS: &str = "proto 110 metric 110";

/// The file at the path where a plugin will be installed.
const OLD: &str = "an older plugin";

/// The plugin that is installed there.
fn new(plugin: &str) -> Vec<u8> {
    format!("a new {plugin}\n").repeat(10_000).into_bytes()
}

/// The system calls that change anything outside of the process. A kill at another call leaves the same state as a kill
/// at the next of these.
const CHANGING: [&str; 22] = [
    "bind",
    "chmod",
    "connect",
    "fchmod",
    "flock",
    "fdatasync",
    "fsync",
    "ftruncate",
    "mkdir",
    "mkdirat",
    "open",
    "openat",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "sendmsg",
    "sendto",
    "unlink",
    "unlinkat",
    "write",
    "writev",
];

/// Selects system calls.
type Calls<'a> = &'a dyn Fn(&str) -> bool;

/// Whether all calls are tested, with every fault at each: the long form of scripts/torture.
fn long() -> bool {
    std::env::var_os("PODLAN_TORTURE").is_some()
}

struct Rig<'lab> {
    node: &'lab Node,
    web: Pod<'lab>,
    at_web: Added,
    routes: Vec<String>,
}

impl<'lab> Rig<'lab> {
    fn new(lab: &Lab, node: &'lab Node) -> Result<Self, Error> {
        let peer = |number: u8| {
            json!({
                "metadata": { "name": format!("node{number}") },
                "spec": { "podCIDRs": [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")] },
                "status": { "addresses": [
                    { "type": "InternalIP", "address": format!("172.31.0.{number}") },
                    { "type": "InternalIP", "address": format!("fd31::{number}") },
                ] },
            })
        };
        lab.write_nodes(
            &json!({ "kind": "NodeList", "items": [node.as_kubernetes(), peer(2), peer(3), peer(5)] }).to_string(),
        )?;
        let web = node.pod("web")?;
        let at_web = web.add(&node.podnet())?;
        let mut rig = Self { node, web, at_web, routes: Vec::new() };
        rig.pack()?;
        rig.ip("route add 10.250.0.0/16 via 172.31.0.50")?;
        rig.before()?;
        let whole = rig.run(rig.agent()?)?;
        if !whole.success() {
            return Err(whole.but("it should have run and ended well"));
        }
        rig.routes = rig.ours()?;
        assert!(rig.routes.len() >= 8, "{:?}", rig.routes);
        Ok(rig)
    }

    /// A copy of the agent, with small plugins beside it.
    fn pack(&self) -> Result<(), Error> {
        let (folder, agent) = (self.folder("from"), binaries::find("podlan-node")?);
        let packed = fs::create_dir_all(&folder).and_then(|()| fs::copy(agent, folder.join("podlan-node")));
        let written =
            packed.and_then(|_| PLUGINS.iter().try_for_each(|plugin| fs::write(folder.join(plugin), new(plugin))));
        written.map_err(|source| Error::System { doing: "pack an agent".into(), source })
    }

    fn ip(&self, words: &str) -> Result<(), Error> {
        self.node.command("ip").args(words.split(' ')).succeeds().map(drop)
    }

    fn ours(&self) -> Result<Vec<String>, Error> {
        Ok(self.node.network()?.lines(&["proto", "110"]).into_iter().map(str::to_owned).collect())
    }

    fn agent(&self) -> Result<Command, Error> {
        let agent = self.node.command("/run/from/podlan-node").args(["run", "--node-name", self.node.name()]);
        Ok(agent.args(["--nodes", Lab::NODES_FILE]).args(INSTALL))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.node.path(&format!("/run/{name}"))
    }

    /// The state that a former agent left: routes that are wrong, gone and right, older plugins, no conflist.
    fn before(&self) -> Result<(), Error> {
        let failed = |source| Error::System { doing: "lay out what was before".into(), source };
        self.forget_the_agents_word();
        for name in ["bin", "net.d"] {
            fs::remove_dir_all(self.folder(name)).ok();
            fs::create_dir_all(self.folder(name)).map_err(failed)?;
        }
        for plugin in PLUGINS {
            fs::write(self.folder("bin").join(plugin), OLD).map_err(failed)?;
        }
        for (family, [subnet, length, node]) in
            [("-4", ["10.244.", ".0/24", "172.31.0."]), ("-6", ["fd00:10:244:", "::/64", "fd31::"])]
        {
            let mut batch = "route flush proto 110\n".to_owned();
            for (number, by) in [(2, 99), (4, 4), (5, 5)] {
                batch += &format!("route add {subnet}{number}{length} via {node}{by} dev eth0 {AGENTS}\n");
            }
            self.node.command("ip").args([family, "-batch", "-"]).stdin(batch).succeeds()?;
        }
        Ok(())
    }

    fn forget_the_agents_word(&self) {
        for name in ["node.json", "verdicts.json", "kept.json"] {
            fs::remove_file(self.folder("podlan").join(name)).ok();
        }
    }

    /// The agent's process id, once it reports that everything is in place.
    fn settled(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.folder("podlan/node.json")).ok()?;
        let state: Value = serde_json::from_str(&text).ok()?;
        let conflist = self.folder("net.d/10-podlan.conflist").exists();
        let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())?;
        let well = state["ready"] == true && state["warnings"].as_array().is_some_and(Vec::is_empty);
        (well && conflist).then(|| Pid::from_raw(pid))
    }

    /// Runs it until it has settled or ended, and then ends it.
    fn run(&self, command: Command) -> Result<Output, Error> {
        let mut agent = command.spawn()?;
        let until = until(SOON);
        while agent.is_running() && Instant::now() < until {
            if let Some(pid) = self.settled() {
                // Repeatedly: strace may hit the very call by which tokio notifies itself of a signal.
                kill(pid, Signal::SIGTERM).ok();
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if agent.is_running() {
            agent.signal(Signal::SIGKILL)?;
            return Err(agent.wait(SOON)?.but("it should have settled, or ended"));
        }
        agent.wait(SOON)
    }

    /// Nothing partial is visible, what was right has stayed, and so have foreign routes and pods.
    fn is_never_half_done(&self, when: &str) -> Result<(), Error> {
        for plugin in PLUGINS {
            let there = fs::read(self.folder("bin").join(plugin)).unwrap_or_default();
            assert!(
                there == OLD.as_bytes() || there == new(plugin),
                "{plugin} is half written, {when}: {} bytes",
                there.len()
            );
        }
        if let Ok(text) = fs::read_to_string(self.folder("net.d/10-podlan.conflist")) {
            let list: Result<Value, _> = serde_json::from_str(&text);
            assert!(list.is_ok_and(|list| list["plugins"][0]["type"] == "podlan"), "{when}: {text}");
        }
        let network = self.node.network()?;
        let has = |words: &[&str]| !network.lines(words).is_empty();
        assert!(has(&["10.250.0.0/16"]), "the stranger's, {when}\n{network}");
        assert!(has(&["10.244.5.0/24", "172.31.0.5"]) && has(&["fd00:10:244:5::/64", "fd31::5"]), "{when}\n{network}");
        assert!(has(&["10.244.2.0/24"]), "node2 has a route, the old or the new, {when}\n{network}");
        for address in &self.at_web.addresses {
            assert!(has(&[&address.to_string(), "proto", "112"]), "the pod's route, {when}\n{network}");
        }
        Ok(())
    }

    /// The next start finds all the work, does it, and leaves no temporary files.
    fn is_made_whole(&self, when: &str) -> Result<(), Error> {
        self.forget_the_agents_word();
        let output = self.run(self.agent()?)?;
        if !output.success() {
            return Err(output.but(&format!("it should have started, {when}")));
        }
        assert_eq!(self.ours()?, self.routes, "{when}");
        for plugin in PLUGINS {
            let there = fs::read(self.folder("bin").join(plugin)).unwrap_or_default();
            assert!(there == new(plugin), "{plugin}, {when}: {} bytes", there.len());
        }
        for folder in ["bin", "net.d", "podlan"] {
            for entry in fs::read_dir(self.folder(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                assert!(!name.starts_with('.') && !name.ends_with(".new"), "{folder}/{name} is left, {when}");
            }
        }
        Ok(())
    }

    fn web_lives(&self) -> Result<(), Error> {
        let _server = self.node.serve()?;
        self.web.reaches(&self.at_web, &self.node.ips())
    }
}

fn with_rig(test: impl FnOnce(&Rig<'_>) -> Result<(), Error>) -> Result<(), Error> {
    if !has_strace() {
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let rig = Rig::new(&lab, node)?;
    test(&rig)?;
    rig.web_lives()
}

#[test]
fn an_agent_killed_at_any_system_call_leaves_nothing_partial_and_the_next_completes_the_work() {
    within(|| {
        with_rig(|rig| {
            let killed = Sabotage {
                tamper: "signal=KILL",
                of: &|call| long() || CHANGING.contains(&call),
                before: || rig.before(),
                command: || rig.agent(),
                run: |command| rig.run(command),
                then: |when: &str, _: &Output| {
                    rig.is_never_half_done(when)?;
                    rig.is_made_whole(when)
                },
            };
            let points = killed.at_each_call(rig.node)?;
            println!("{points} system calls of the agent killed");
            assert!(points > 60, "{points}");
            Ok(())
        })
    });
}

/// So many calls of each name fail one by one; of the later ones of a thread, one in so many does.
const EACH: usize = 12;

/// It continues, and only a signal ends it.
#[test]
fn an_agent_survives_an_error_from_any_system_call() {
    within(|| {
        with_rig(|rig| {
            let sent = |call: &str| matches!(call, "sendto" | "sendmsg");
            let received = |call: &str| matches!(call, "recvfrom" | "recvmsg");
            let netlink = |call: &str| sent(call) || received(call) || call == "socket";
            // Not write: threads wake each other by it, which never fails, and strace would refuse it to each thread of
            // a part that is started again. Failing writes on a full file system are tested in agent::broken_things.
            let files = |call: &str| matches!(call, "openat" | "open" | "rename" | "renameat" | "fsync");
            let mut faults: Vec<(&str, Calls<'_>)> =
                vec![("error=ENOBUFS", &sent), ("retval=20", &received), ("error=ENOSPC", &files)];
            if long() {
                for more in ["error=EINTR", "error=EBUSY", "error=EMFILE", "error=ENOMEM", "error=ENOBUFS", "retval=20"]
                {
                    faults.push((more, &netlink));
                }
                faults.push(("error=EROFS", &files));
            }
            let mut points = 0;
            for (tamper, of) in faults {
                let refused = Sabotage {
                    tamper,
                    of,
                    before: || rig.before(),
                    command: || rig.agent(),
                    run: |command| rig.run(command),
                    then: |when: &str, output: &Output| {
                        rig.is_never_half_done(when)?;
                        // strace selects calls, not descriptors: it hit one by which tokio wakes itself, which never
                        // fails in this way.
                        let met_tokio = output
                            .stderr
                            .lines()
                            .any(|line| line.contains("panicked at /") && line.contains("/tokio-"));
                        assert!(met_tokio || !output.stderr.contains("panicked"), "{when}: {}", output.stderr);
                        match output.success() {
                            true => {
                                assert_eq!(rig.ours()?, rig.routes, "{when}");
                                Ok(())
                            }
                            false => {
                                assert!(met_tokio, "it ended, {when}: {}", output.stderr);
                                rig.is_made_whole(when)
                            }
                        }
                    },
                };
                // The first look at what is wrong makes more than all the rest.
                points += refused
                    .at_calls(rig.node, |number| if long() || number < EACH { number + 1 } else { number + EACH })?;
            }
            println!("{points} system calls of the agent failed");
            assert!(points > 30, "{points}");
            Ok(())
        })
    });
}
