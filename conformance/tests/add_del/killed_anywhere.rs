//! The plugin killed, or with a failing system call, at every system call of a verb: the next call repairs whatever is
//! left, and other pods are not affected.
//!
//! ```text
//!   node1
//!     ├── db   lives all the while
//!     └── web  eth0 lives as well; eth1 is added, deleted, checked and collected by a plugin that dies
//! ```

use std::time::Duration;

use podlan_conformance::lab::{
    Added, Command, Error, Lab, Node, Output, Pod, Sabotage, Snapshot, eventually, has_strace, within,
};
use serde_json::{Value, json};

/// One node, a pod that lives on it, and a network with room for one more pod: a pod that gets its address proves that
/// the previous one released it.
struct Rig<'lab> {
    node: &'lab Node,
    web: Pod<'lab>,
    db: Pod<'lab>,
    at_db: Added,
    config: Value,
    before: Snapshot,
    pod_before: Snapshot,
}

impl<'lab> Rig<'lab> {
    fn new(node: &'lab Node) -> Result<Self, Error> {
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        let at_db = db.add(&node.podnet())?;
        web.add(&node.podnet())?;
        let mut config = node.podnet();
        config["name"] = json!("tight");
        config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.252/30" }], [{ "subnet": "fd00:10:244:1:f::/126" }]]);
        let (before, pod_before) = (node.network()?, web.network()?);
        Ok(Self { node, web, db, at_db, config, before, pod_before })
    }

    /// The node and the pod are as they were before; a link takes a moment to disappear.
    fn is_as_before(&self, when: &str) -> Result<(), Error> {
        eventually(Duration::from_secs(5), &format!("all is as before, {when}"), || {
            let difference = |place: Result<Snapshot, Error>, before| match place {
                Ok(now) => now.since(before),
                Err(error) => error.to_string(),
            };
            let differences =
                difference(self.node.network(), &self.before) + &difference(self.web.network(), &self.pod_before);
            if differences.is_empty() { Ok(()) } else { Err(differences) }
        })
    }

    fn is_undone_by_del(&self, when: &str) -> Result<(), Error> {
        self.web.del_as("eth1", &self.config)?;
        self.is_as_before(when)
    }

    /// After an ADD with a failed system call.
    fn leaves_nothing_or_succeeds(&self, when: &str, output: &Output) -> Result<(), Error> {
        // A program that gets no memory ends at that point.
        let aborted = output.status.and_then(|status| status.code()).is_none_or(|code| code > 128);
        if !output.success() && !aborted {
            let error: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
            if error["code"].as_u64().is_none_or(|code| code == 0) && !when.contains(" write ") {
                return Err(output.clone().but(&format!("{when}: it should have printed the reason")));
            }
            self.is_as_before(when)?;
        }
        self.is_undone_by_del(when)
    }

    fn db_lives(&self) -> Result<(), Error> {
        let _server = self.node.serve()?;
        self.db.reaches(&self.at_db, &self.node.ips())
    }

    /// Tampers with each system call of `command` in turn, as strace's `tamper` says, and has `then` judge the state
    /// afterwards. Returns the number of calls.
    fn tamper_with_each(
        &self,
        tamper: &str,
        of: &dyn Fn(&str) -> bool,
        command: impl Fn() -> Result<Command, Error>,
        before: impl Fn() -> Result<(), Error>,
        then: impl Fn(&str, &Output) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        Sabotage { tamper, of, before, command, run: Command::run, then }.at_each_call(self.node)
    }

    fn kill_at_each(
        &self,
        command: impl Fn() -> Result<Command, Error>,
        before: impl Fn() -> Result<(), Error>,
        then: impl Fn(&str) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        self.tamper_with_each("signal=KILL", &|_| true, command, before, |when, _| then(when))
    }
}

/// Runs a test with a rig, and checks at the end that the other pod still works.
fn with_rig(test: impl FnOnce(&Rig<'_>) -> Result<(), Error>) -> Result<(), Error> {
    if !has_strace() {
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let rig = Rig::new(node)?;
    test(&rig)?;
    rig.db_lives()
}

fn nothing() -> Result<(), Error> {
    Ok(())
}

/// E-36, E-62.
#[test]
fn an_add_killed_at_any_system_call_is_undone_by_del() {
    within(|| {
        with_rig(|rig| {
            let add = || rig.web.cni("ADD", "eth1", &rig.config);
            let points = rig.kill_at_each(add, nothing, |when| rig.is_undone_by_del(when))?;
            println!("{points} system calls of ADD killed");
            assert!(points > 100, "{points}");
            Ok(())
        })
    });
}

/// A catchable signal arrives after a system call, and SIGKILL before it. The plugin catches no signal, and need not.
#[test]
fn an_add_or_del_ended_by_a_signal_at_any_system_call_is_undone_by_del() {
    within(|| {
        with_rig(|rig| {
            let signals = ["signal=TERM", "signal=INT", "signal=HUP"];
            let signals = if std::env::var_os("PODLAN_TORTURE").is_some() { &signals[..] } else { &signals[..1] };
            let mut points = 0;
            for signal in signals {
                let add = || rig.web.cni("ADD", "eth1", &rig.config);
                let undone = |when: &str, _: &Output| rig.is_undone_by_del(when);
                points += rig.tamper_with_each(signal, &|_| true, add, nothing, undone)?;
                let added = || rig.web.add_as("eth1", &rig.config).map(drop);
                let del = || rig.web.cni("DEL", "eth1", &rig.config);
                points += rig.tamper_with_each(signal, &|_| true, del, added, undone)?;
            }
            println!("{points} system calls of ADD and DEL met by {signals:?}");
            assert!(points > 160, "{points}");
            Ok(())
        })
    });
}

/// E-33, E-34: a failed call and a lost answer are errors that leave nothing in the kernel, without any DEL.
#[test]
fn an_add_refused_at_any_system_call_leaves_nothing() {
    within(|| {
        with_rig(|rig| {
            let add = || rig.web.cni("ADD", "eth1", &rig.config);
            let undone = |when: &str, output: &Output| rig.leaves_nothing_or_succeeds(when, output);
            let points = rig.tamper_with_each("error=ENOBUFS", &|_| true, add, nothing, undone)?;
            println!("{points} system calls of ADD failed");
            assert!(points > 100, "{points}");
            Ok(())
        })
    });
}

/// E-50, E-51: netlink that is interrupted, busy, out of descriptors or memory, and truncated answers.
#[test]
fn an_add_whose_netlink_fails_in_any_way_leaves_nothing_or_succeeds() {
    within(|| {
        with_rig(|rig| {
            let netlink =
                |call: &str| matches!(call, "socket" | "bind" | "sendto" | "recvfrom" | "sendmsg" | "recvmsg");
            let add = || rig.web.cni("ADD", "eth1", &rig.config);
            let mut points = 0;
            for tamper in ["error=EINTR", "error=EBUSY", "error=EMFILE", "error=ENOMEM", "retval=20"] {
                let undone = |when: &str, output: &Output| {
                    if tamper == "error=EINTR" && !when.contains("socket") && !output.success() {
                        return Err(output.clone().but(&format!("{when}: it should have tried again")));
                    }
                    rig.leaves_nothing_or_succeeds(when, output)
                };
                points += rig.tamper_with_each(tamper, &netlink, add, nothing, undone)?;
            }
            println!("{points} netlink calls of ADD failed");
            assert!(points > 40, "{points}");
            Ok(())
        })
    });
}

#[test]
fn a_del_killed_at_any_system_call_is_finished_by_the_next() {
    within(|| {
        with_rig(|rig| {
            let added = || rig.web.add_as("eth1", &rig.config).map(drop);
            let del = || rig.web.cni("DEL", "eth1", &rig.config);
            let points = rig.kill_at_each(del, added, |when| rig.is_undone_by_del(when))?;
            println!("{points} system calls of DEL killed");
            assert!(points > 60, "{points}");
            Ok(())
        })
    });
}

#[test]
fn a_check_killed_at_any_system_call_changes_nothing() {
    within(|| {
        with_rig(|rig| {
            let at_web = rig.web.add_as("eth1", &rig.config)?;
            let (added, pod_added) = (rig.node.network()?, rig.web.network()?);
            let mut config = rig.config.clone();
            config["prevResult"] = at_web.result.clone();
            let unchanged = |when: &str| {
                assert_eq!(rig.node.network()?.since(&added) + &rig.web.network()?.since(&pod_added), "", "{when}");
                Ok(())
            };
            let points = rig.kill_at_each(|| rig.web.cni("CHECK", "eth1", &config), nothing, unchanged)?;
            println!("{points} system calls of CHECK killed");
            assert!(points > 60, "{points}");
            rig.web.cni("CHECK", "eth1", &config)?.succeeds()?;
            Ok(())
        })
    });
}

#[test]
fn a_gc_killed_at_any_system_call_is_finished_by_the_next() {
    within(|| {
        with_rig(|rig| {
            let mut config = rig.config.clone();
            config["cniVersion"] = json!("1.1.0");
            config["cni.dev/valid-attachments"] = json!([]);
            let gc = || Ok(rig.web.cni("GC", "", &config)?.without_env("CNI_CONTAINERID").without_env("CNI_NETNS"));
            let added = || rig.web.add_as("eth1", &rig.config).map(drop);
            let finished = |when: &str| {
                gc()?.succeeds()?;
                rig.is_as_before(when)
            };
            let points = rig.kill_at_each(gc, added, finished)?;
            println!("{points} system calls of GC killed");
            assert!(points > 50, "{points}");
            Ok(())
        })
    });
}
