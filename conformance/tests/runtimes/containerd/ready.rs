//! When a runtime reports its node as ready for pods.

use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, eventually, within};
use serde_json::{Value, json};

use super::parts::Parts;
use super::rig::{Rig, Worker, conflist};

/// The conflist that the agent writes: for old and new runtimes, with the agent's state file.
fn with_agent(worker: &Worker<'_>, file: &str) -> Value {
    let mut podnet = worker.node.podnet();
    podnet["agent"] = json!(file);
    let mut list = conflist(podnet);
    list["cniVersions"] = json!(["0.4.0", "1.0.0", "1.1.0"]);
    list
}

fn becomes(worker: &Worker<'_>, ready: bool, why: &str) -> Result<(), Error> {
    eventually(Duration::from_secs(5), &format!("NetworkReady is {ready}, because {why:?}"), || {
        let condition = worker.containerd.cri.network_ready().map_err(|error| error.to_string())?;
        let is_it = condition.status == ready && condition.message.contains(why);
        if is_it { Ok(()) } else { Err(format!("{condition:?}")) }
    })
}

/// containerd 2 uses the newest of `cniVersions` and calls STATUS; 1.x uses `cniVersion` and never does.
#[test]
fn a_runtime_that_calls_status_reports_a_node_without_its_agent_as_not_ready() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let calls_status = !one.containerd.is_of_major(1);

        one.containerd.use_conflist(&with_agent(&one, "/run/podlan/no-agent.json"))?;
        becomes(&one, !calls_status, if calls_status { "agent is not ready" } else { "" })?;
        one.containerd.use_conflist(&with_agent(&one, "/run/podlan/node.json"))?;
        becomes(&one, true, "")?;
        let called = one.containerd.calls().iter().any(|call| call["command"] == "STATUS");
        assert_eq!(called, calls_status);
        one.pod("served").end();
        Ok(())
    });
}
