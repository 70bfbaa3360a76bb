//! ADD, DEL and GC of a pod with host ports, killed or refused at every system call: the next DEL leaves nothing, and the port
//! of another pod stays.

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Command, Error, Lab, Node, Output, Pod, Sabotage, has_strace, within};
use serde_json::{Value, json};

use crate::rig::{mapping, with_ports};

struct Rig<'lab> {
    node: &'lab Node,
    web: Pod<'lab>,
    config: Value,
}

impl Rig<'_> {
    /// Only the other pod's host port is there.
    fn is_clean(&self, when: &str) -> Result<(), Error> {
        let (records, table) = (records(self.node), table(self.node)?);
        let clean = records.len() == 1 && !table.contains("8080") && table.contains("8079");
        let said = format!("{records:?}\n{table}");
        if clean { Ok(()) } else { Err(Error::Unreadable { from: when.into(), said }) }
    }

    fn is_undone_by_del(&self, when: &str) -> Result<(), Error> {
        // The runtime may have lost what the pod asked for.
        self.web.del(&self.node.podnet())?;
        self.is_clean(when)
    }

    fn tamper(
        &self,
        tamper: &str,
        command: impl Fn() -> Result<Command, Error>,
        before: impl Fn() -> Result<(), Error>,
        then: impl Fn(&str, &Output) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        Sabotage { tamper, of: &|_| true, before, command, run: Command::run, then }.at_each_call(self.node)
    }
}

fn with_rig(test: impl FnOnce(&Rig<'_>) -> Result<(), Error>) -> Result<(), Error> {
    if !has_strace() {
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    node.pod("db")?.add(&with_ports(node, &json!([mapping("tcp", 8079)])))?;
    let config = with_ports(node, &json!([mapping("tcp", 8080), mapping("udp", 8080)]));
    test(&Rig { node, web: node.pod("web")?, config })
}

/// E-36, E-62.
#[test]
fn an_add_with_host_ports_killed_at_any_system_call_is_undone_by_del() {
    within(|| {
        with_rig(|rig| {
            let add = || rig.web.cni("ADD", "eth0", &rig.config);
            let points = rig.tamper("signal=KILL", add, || Ok(()), |when, _| rig.is_undone_by_del(when))?;
            println!("{points} system calls of ADD killed");
            assert!(points > 120, "{points}");
            Ok(())
        })
    });
}

/// E-33, E-34: a refused call leaves no host port, without any DEL.
#[test]
fn an_add_with_host_ports_refused_at_any_system_call_leaves_none() {
    within(|| {
        with_rig(|rig| {
            let add = || rig.web.cni("ADD", "eth0", &rig.config);
            let then = |when: &str, output: &Output| {
                let aborted = output.status.and_then(|status| status.code()).is_none_or(|code| code > 128);
                if !output.success() && !aborted {
                    rig.is_clean(when)?;
                }
                rig.is_undone_by_del(when)
            };
            let points = rig.tamper("error=ENOBUFS", add, || Ok(()), then)?;
            println!("{points} system calls of ADD failed");
            assert!(points > 120, "{points}");
            Ok(())
        })
    });
}

#[test]
fn a_del_with_host_ports_killed_at_any_system_call_is_finished_by_the_next() {
    within(|| {
        with_rig(|rig| {
            let added = || rig.web.add(&rig.config).map(drop);
            let del = || rig.web.cni("DEL", "eth0", &rig.config);
            let points = rig.tamper("signal=KILL", del, added, |when, _| rig.is_undone_by_del(when))?;
            println!("{points} system calls of DEL killed");
            assert!(points > 80, "{points}");
            Ok(())
        })
    });
}

#[test]
fn a_gc_with_host_ports_killed_at_any_system_call_is_finished_by_the_next() {
    within(|| {
        with_rig(|rig| {
            let mut config = rig.node.podnet();
            config["cniVersion"] = json!("1.1.0");
            config["cni.dev/valid-attachments"] = json!([{"containerID": "db", "ifname": "eth0"}]);
            let gc = || Ok(rig.web.cni("GC", "", &config)?.without_env("CNI_CONTAINERID").without_env("CNI_NETNS"));
            let added = || rig.web.add(&rig.config).map(drop);
            let finished = |when: &str, _: &Output| {
                gc()?.succeeds()?;
                rig.is_clean(when)
            };
            let points = rig.tamper("signal=KILL", gc, added, finished)?;
            println!("{points} system calls of GC killed");
            assert!(points > 50, "{points}");
            Ok(())
        })
    });
}
