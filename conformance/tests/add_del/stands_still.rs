//! An ADD that is paused while its environment changes: the pod's network namespace is deleted, or a link of it is
//! renamed. It succeeds or reports what is wrong, and after its DEL nothing is left.
//!
//! ```text
//!   node1, with room for one pod
//!     └── web   eth0 is added by a plugin that is paused at a system call
//! ```

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use podlan_conformance::lab::{
    Command, Error, Lab, Node, Output, Pod, Sabotage, Snapshot, eventually, has_strace, until, within,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// The calls at which it is paused: every call that reads or changes kernel state or, in the long form, any.
fn at(call: &str) -> bool {
    let speaks = matches!(call, "sendto" | "recvfrom" | "sendmsg" | "recvmsg" | "setns" | "bind" | "openat" | "read");
    speaks || std::env::var_os("PODLAN_TORTURE").is_some()
}

/// Rename what the plugin has made so far: the host end, and the pod's.
const RENAME_HOST: &str = "for link in /sys/class/net/podl*; do ip link set ${link##*/} name stolen0; done; true";
const RENAME_POD: &str = "ip link set eth0 down && ip link set eth0 name stolen1; true";

struct Rig<'lab> {
    node: &'lab Node,
    config: Value,
    before: Snapshot,
}

impl Rig<'_> {
    /// Adds a pod, and runs `mischief` on it at each call in turn. Returns the number of calls, and how often ADD
    /// failed.
    fn each(&self, mischief: impl Fn(&Pod<'_>) -> Result<(), Error>) -> Result<(usize, usize), Error> {
        let failed = std::cell::Cell::new(0);
        let pod = std::cell::RefCell::new(self.node.pod("web")?);
        let prepare = || {
            pod.borrow().remove().ok();
            *pod.borrow_mut() = self.node.pod("web")?;
            Ok(())
        };
        let stands_still = Sabotage {
            tamper: "signal=STOP",
            of: &at,
            before: prepare,
            command: || pod.borrow().cni("ADD", "eth0", &self.config),
            run: |command| self.run(command, || mischief(&pod.borrow())),
            then: |when: &str, output: &Output| self.judge(&pod.borrow(), when, output, &failed),
        };
        let points = stands_still.at_each_call(self.node)?;
        pod.borrow().remove().ok();
        Ok((points, failed.get()))
    }

    /// Runs `mischief` while the command is paused, and then continues it.
    fn run(&self, command: Command, mischief: impl Fn() -> Result<(), Error>) -> Result<Output, Error> {
        let trace = self.node.path("/run/trace");
        std::fs::remove_file(&trace).ok();
        let mut running = command.spawn()?;
        let until = until(SOON);
        while running.is_running() && Instant::now() < until {
            if std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("stopped by SIGSTOP")) {
                mischief()?;
                running.signal(Signal::SIGCONT)?;
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        running.wait(SOON)
    }

    fn judge(&self, pod: &Pod<'_>, when: &str, output: &Output, failed: &std::cell::Cell<usize>) -> Result<(), Error> {
        if !output.success() {
            failed.set(failed.get() + 1);
            if output.clone().complaint()?.text.is_empty() {
                return Err(output.clone().but(&format!("{when}: it should have printed the reason")));
            }
        }
        pod.del(&self.config)?;
        eventually(SOON, &format!("all is as before, {when}"), || {
            let left = self.node.network().map_err(|error| error.to_string())?.since(&self.before);
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
    }
}

#[expect(clippy::print_stdout, reason = "the counts")]
fn print_points(points: usize, failed: usize) {
    println!("an ADD was paused at {points} system calls, and failed {failed} times");
}

/// The only address passes from one pod to the next: none is kept.
fn with_rig(test: impl FnOnce(&Rig<'_>) -> Result<(usize, usize), Error>) -> Result<(), Error> {
    if !has_strace() {
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/30" }], [{ "subnet": "fd00:10:244:1::/126" }]]);
    let before = node.network()?;
    let rig = Rig { node, config, before };
    let (points, failed) = test(&rig)?;
    print_points(points, failed);
    assert!(points > 15 && failed > 0 && failed < points, "{points}, {failed}");
    node.pod("last")?.add(&rig.config).map(drop)
}

#[test]
fn an_add_whose_network_namespace_is_deleted_at_any_moment_leaves_nothing() {
    within(|| with_rig(|rig| rig.each(|pod| pod.remove())));
}

#[test]
fn an_add_whose_links_are_renamed_at_any_moment_leaves_nothing() {
    within(|| {
        with_rig(|rig| {
            rig.each(|pod| {
                pod.node().command("sh").args(["-c", RENAME_HOST]).succeeds()?;
                pod.command("sh").args(["-c", RENAME_POD]).succeeds().map(drop)
            })
        })
    });
}
