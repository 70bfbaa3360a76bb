//! The exit codes of the programs' command lines, on a node without an agent, with one, and after it ended.

use std::fmt::Write as _;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, within};

use super::recorded::is_as_recorded;

const SOON: Duration = Duration::from_secs(20);

/// Calls that do not depend on the node's state.
const ALWAYS: &[&str] = &[
    "podlan",
    "podlan --version",
    "podlan --unknown",
    "podlan-ipam",
    "podlan-ipam --version",
    "podlan-node",
    "podlan-node --help",
    "podlan-node --version",
    "podlan-node --unknown",
    "podlan-node unknown",
    "podlan-node run",
    "podlan-node run --help",
    "podlan-node run --node-name node1",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --kubernetes",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --resync 0s",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --resync 60",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --withdraw-share 2",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --no-masquerade-to 192.0.2.0/24",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --masquerade --no-masquerade-to 192.0.2.1/24",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --chain unknown",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --chain-if-installed portmap",
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --run-dir /proc/nowhere",
    "podlan-node run --node-name node1 --kubeconfig /run/nowhere --run-dir /run/elsewhere",
    "podlan-node status --unknown",
    "podlan-node status --run-dir /run/nowhere",
    "podlan-node doctor --run-dir /run/nowhere",
    "podlan-node trace",
    "podlan-node trace 10.244.1.2",
    "podlan-node trace nobody 10.244.2.2",
    "podlan-node adopt",
    "podlan-node adopt host-local /run/nowhere",
    "podlan-node release-withdrawal --run-dir /run/nowhere",
    "podlan-node cleanup --unknown",
];

/// Calls that depend on the agent. `cleanup` is last: it changes the node.
const BY_STATE: &[&str] = &[
    "podlan-node run --node-name node1 --nodes /run/lab/nodes.json --network-name ../x",
    "podlan-node status",
    "podlan-node status --json",
    "podlan-node leases",
    "podlan-node leases --json",
    "podlan-node doctor",
    "podlan-node doctor --json",
    "podlan-node doctor --fix",
    "podlan-node trace 10.244.1.2 10.244.2.2",
    "podlan-node trace 10.244.1.2 192.0.2.1",
    "podlan-node adopt host-local /run/nowhere --cidr 10.244.1.0/24 --dry-run",
    "podlan-node release-withdrawal",
    "podlan-node cleanup",
];

fn run(node: &Node, calls: &[&str], state: &str, all: &mut String) -> Result<(), Error> {
    for call in calls {
        let mut words = call.split(' ');
        let program = binaries::find(words.next().unwrap_or_default())?;
        // A `run` that is not refused continues; timeout(1) ends it, with 124.
        let ended = node.command("timeout").args(["3"]).arg(program).args(words).run()?;
        let code = ended.status.and_then(|status| status.code());
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        writeln!(all, "{state}: {call}: {code}").ok();
    }
    Ok(())
}

#[test]
fn the_exit_codes_are_as_recorded() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, _two] = lab.these();
        let mut all = String::new();
        run(one, ALWAYS, "any node", &mut all)?;
        run(one, &BY_STATE[1..], "without an agent", &mut all)?;
        let agent = one.agent(&[])?;
        eventually(SOON, "the agent is ready", || {
            let status = binaries::find("podlan-node").and_then(|node| one.command(node).arg("status").run());
            if status.as_ref().is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("{status:?}")) }
        })?;
        let web = one.pod("web")?;
        web.add(&one.podnet())?;
        run(one, BY_STATE, "with an agent and a pod", &mut all)?;
        agent.stop(Duration::from_secs(5))?;
        run(one, &BY_STATE[1..], "after the agent", &mut all)?;
        web.del(&one.podnet())?;
        run(one, &["podlan-node cleanup", "podlan-node cleanup"], "after the pod", &mut all)?;
        is_as_recorded("exit_codes.txt", &all);
        Ok(())
    });
}
