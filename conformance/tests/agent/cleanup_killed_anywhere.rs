//! `podlan-node cleanup` killed at every system call that changes something: the state it leaves is usable or harmless,
//! and the next cleanup removes everything.
//!
//! ```text
//!   node1 (an agent was here: routes, rules, /run/bin, /run/net.d, /run/podlan)
//!     ├── web   lives all the while, or there is no pod
//!     └── gone  ended without a DEL
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use podlan_conformance::lab::{
    Added, Command, Error, Lab, Node, Output, Pod, Sabotage, Snapshot, binaries, eventually, has_strace, within,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const PLUGINS: [&str; 2] = ["podlan", "podlan-ipam"];
const WHERE: [&str; 4] = ["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"];

/// The system calls that change anything outside of the process. A kill at another call leaves the same state as a kill
/// at the next of these.
const CHANGING: [&str; 7] = ["ftruncate", "pwrite64", "rename", "sendmsg", "sendto", "unlink", "unlinkat"];

struct Rig<'lab> {
    node: &'lab Node,
    web: Option<(Pod<'lab>, Added)>,
    network: Snapshot,
}

impl<'lab> Rig<'lab> {
    fn new(lab: &Lab, node: &'lab Node, has_pods: bool) -> Result<Self, Error> {
        let peer = json!({
            "metadata": { "name": "node2" },
            "spec": { "podCIDRs": ["10.244.2.0/24", "fd00:10:244:2::/64"] },
            "status": { "addresses": [
                { "type": "InternalIP", "address": "172.31.0.2" }, { "type": "InternalIP", "address": "fd31::2" },
            ] },
        });
        lab.write_nodes(&json!({ "kind": "NodeList", "items": [node.as_kubernetes(), peer] }).to_string())?;
        let failed = |source| Error::System { doing: "pack an agent".into(), source };
        for folder in ["from", "bin", "net.d"] {
            fs::create_dir_all(node.path(&format!("/run/{folder}"))).map_err(failed)?;
        }
        let from = node.path("/run/from");
        fs::copy(binaries::find("podlan-node")?, from.join("podlan-node")).map_err(failed)?;
        PLUGINS.iter().try_for_each(|plugin| fs::write(from.join(plugin), *plugin)).map_err(failed)?;
        let web = match has_pods {
            true => {
                let web = node.pod("web")?;
                let added = web.add(&node.podnet())?;
                Some((web, added))
            }
            false => None,
        };
        // A node that forwards keeps forwarding.
        let rig = Self { node, web, network: node.network()? };
        rig.before()?;
        rig.cleanup()?.succeeds()?;
        Ok(Self { network: node.network()?, ..rig })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.node.path(&format!("/run/{name}"))
    }

    /// An agent starts, does all its work, and ends; then a pod ends without a DEL.
    fn before(&self) -> Result<(), Error> {
        let command = self.node.command("/run/from/podlan-node").args(["run", "--node-name", self.node.name()]);
        let agent = command.args(["--nodes", Lab::NODES_FILE, "--masquerade"]).args(WHERE).spawn()?;
        eventually(SOON, "the agent has settled", || {
            let text = fs::read_to_string(self.folder("podlan/node.json")).unwrap_or_default();
            let state: Value = serde_json::from_str(&text).unwrap_or_default();
            let conflist = self.folder("net.d/10-podlan.conflist").exists();
            if state["ready"] == true && conflist { Ok(()) } else { Err(text) }
        })?;
        agent.stop(SOON)?;
        if self.web.is_some() {
            let gone = self.node.pod("gone")?;
            gone.add(&self.node.podnet())?;
            gone.remove()?;
            eventually(SOON, "its link is gone", || {
                let network = self.node.network().map_err(|error| error.to_string())?;
                // The agent's pair for path probes stays when it ends.
                let links = network.lines(&["link", "veth"]);
                let links = links.iter().filter(|line| !line.contains("path probes")).count();
                if links == 2 { Ok(()) } else { Err(network.to_string()) }
            })?;
        }
        Ok(())
    }

    fn cleanup(&self) -> Result<Command, Error> {
        Ok(self.node.command("/run/from/podlan-node").arg("cleanup").args(WHERE))
    }

    /// A conflist that a runtime finds has its plugins, and pods keep their state.
    fn does_no_harm(&self, when: &str) -> Result<(), Error> {
        let installed = PLUGINS.iter().all(|plugin| self.folder("bin").join(plugin).exists());
        assert!(
            installed || !self.folder("net.d/10-podlan.conflist").exists(),
            "a conflist without its plugins, {when}"
        );
        if let Some((_, added)) = &self.web {
            assert!(installed, "DEL needs the plugins, {when}");
            let network = self.node.network()?;
            for address in &added.addresses {
                let routes = network.lines(&[&address.to_string(), "proto", "112"]);
                assert_eq!(routes.len(), 1, "the pod's route, {when}\n{network}");
            }
        }
        Ok(())
    }

    fn leaves_nothing(&self, when: &str) -> Result<(), Error> {
        let said = self.cleanup()?.succeeds()?;
        assert_eq!(self.node.network()?.since(&self.network), "", "{when}");
        let rules = self.node.command("nft").args(["list", "ruleset"]).succeeds()?;
        assert_eq!(rules.trim(), "", "{when}");
        let files = |folder: &str| -> Vec<_> {
            let entries = fs::read_dir(self.folder(folder)).into_iter().flatten().flatten();
            entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name()).collect()
        };
        assert_eq!((files("net.d"), files("podlan")), (vec![], vec![]), "{when}");
        match self.web {
            Some(_) => assert!(said.contains(": 2 addresses are leased"), "{when}: {said}"),
            None => assert_eq!(files("bin"), Vec::<std::ffi::OsString>::new(), "{when}"),
        }
        Ok(())
    }
}

/// Kills a cleanup at each system call; returns the number of calls.
fn killed_at_each(rig: &Rig<'_>) -> Result<usize, Error> {
    let long = std::env::var_os("PODLAN_TORTURE").is_some();
    let killed = Sabotage {
        tamper: "signal=KILL",
        of: &|call| long || CHANGING.contains(&call),
        before: || rig.before(),
        command: || rig.cleanup(),
        run: Command::run,
        then: |when: &str, _: &Output| {
            rig.does_no_harm(when)?;
            rig.leaves_nothing(when)
        },
    };
    killed.at_each_call(rig.node)
}

#[expect(clippy::print_stdout, reason = "the count")]
fn print_points(points: usize) {
    println!("{points} system calls of cleanup killed");
}

fn is_finished_by_the_next(has_pods: bool, least: usize) -> Result<(), Error> {
    if !has_strace() {
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let rig = Rig::new(&lab, node, has_pods)?;
    let points = killed_at_each(&rig)?;
    print_points(points);
    assert!(points > least, "{points}");
    let Some((web, added)) = &rig.web else { return Ok(()) };
    let _server = node.serve()?;
    web.reaches(added, &node.ips())?;
    web.del(&node.podnet())?;
    rig.cleanup()?.succeeds()?;
    assert!(PLUGINS.iter().all(|plugin| !rig.folder("bin").join(plugin).exists()));
    Ok(())
}

#[test]
fn a_cleanup_killed_at_any_system_call_is_finished_by_the_next() {
    within(|| is_finished_by_the_next(false, 10));
}

#[test]
fn a_cleanup_killed_at_any_system_call_beside_a_pod_is_finished_by_the_next_and_the_pod_lives() {
    within(|| is_finished_by_the_next(true, 20));
}
