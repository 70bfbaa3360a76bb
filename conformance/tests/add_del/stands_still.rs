//! An ADD that stands still while its world changes: the pod's network namespace goes, a link of it is renamed. It succeeds
//! or says what is wrong, and after its DEL nothing is left.
//!
//! ```text
//!   node1, with room for one pod
//!     └── web   eth0 is added by a plugin that stands still at a system call
//! ```

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use podlan_conformance::lab::{
    Command, Error, Lab, Node, Output, Pod, Sabotage, Snapshot, eventually, has_strace, within,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// Where it stands still: at every call by which it learns of the kernel or changes it, or, in the long form, at any.
fn at(call: &str) -> bool {
    let speaks = matches!(call, "sendto" | "recvfrom" | "sendmsg" | "recvmsg" | "setns" | "bind" | "openat" | "read");
    speaks || std::env::var_os("PODLAN_TORTURE").is_some()
}

/// Renames what the plugin has made so far: the host end, and the pod's.
const RENAME_HOST: &str = "for link in /sys/class/net/podl*; do ip link set ${link##*/} name stolen0; done; true";
const RENAME_POD: &str = "ip link set eth0 down && ip link set eth0 name stolen1; true";

struct World<'lab> {
    node: &'lab Node,
    config: Value,
    before: Snapshot,
}

impl World<'_> {
    /// Adds a pod, and does `mischief` to it at each call in turn. Answers at how many, and how often ADD failed.
    fn each(&self, mischief: impl Fn(&Pod<'_>) -> Result<(), Error>) -> Result<(usize, usize), Error> {
        let failed = std::cell::Cell::new(0);
        let pod = std::cell::RefCell::new(self.node.pod("web")?);
        let anew = || {
            pod.borrow().remove().ok();
            *pod.borrow_mut() = self.node.pod("web")?;
            Ok(())
        };
        let stands_still = Sabotage {
            tamper: "signal=STOP",
            of: &at,
            before: anew,
            command: || pod.borrow().cni("ADD", "eth0", &self.config),
            run: |command| self.run(command, || mischief(&pod.borrow())),
            then: |when: &str, output: &Output| self.judge(&pod.borrow(), when, output, &failed),
        };
        let points = stands_still.at_each_call(self.node)?;
        pod.borrow().remove().ok();
        Ok((points, failed.get()))
    }

    /// Does the mischief while the command stands still, and lets it go on.
    fn run(&self, command: Command, mischief: impl Fn() -> Result<(), Error>) -> Result<Output, Error> {
        let trace = self.node.path("/run/trace");
        std::fs::remove_file(&trace).ok();
        let mut running = command.spawn()?;
        let until = Instant::now() + SOON;
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
                return Err(output.clone().but(&format!("{when}: it should have told why")));
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
fn tell(points: usize, failed: usize) {
    println!("an ADD stood still at {points} system calls, and failed {failed} times");
}

/// The only address there is goes from one pod to the next: none is kept.
fn in_a_world(test: impl FnOnce(&World<'_>) -> Result<(usize, usize), Error>) -> Result<(), Error> {
    if !has_strace() {
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/30" }], [{ "subnet": "fd00:10:244:1::/126" }]]);
    let before = node.network()?;
    let world = World { node, config, before };
    let (points, failed) = test(&world)?;
    tell(points, failed);
    assert!(points > 15 && failed > 0 && failed < points, "{points}, {failed}");
    node.pod("last")?.add(&world.config).map(drop)
}

#[test]
fn an_add_whose_network_namespace_is_deleted_at_any_moment_leaves_nothing() {
    within(|| in_a_world(|world| world.each(|pod| pod.remove())));
}

#[test]
fn an_add_whose_links_are_renamed_at_any_moment_leaves_nothing() {
    within(|| {
        in_a_world(|world| {
            world.each(|pod| {
                pod.node().command("sh").args(["-c", RENAME_HOST]).succeeds()?;
                pod.command("sh").args(["-c", RENAME_POD]).succeeds().map(drop)
            })
        })
    });
}
