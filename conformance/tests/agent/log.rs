//! The agent's log: which build of which node it is of, how it ended, and what an operator has to decide.

use std::time::Duration;

use podlan_conformance::agent::is_ready;
use podlan_conformance::lab::{Error, Lab, Running, binaries, eventually, within};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn says(agent: &Running, word: &str) -> Result<(), Error> {
    eventually(SOON, &format!("the log says {word:?}"), || {
        let log = agent.stderr();
        if log.contains(word) { Ok(()) } else { Err(log) }
    })
}

#[test]
fn each_line_of_the_log_is_an_object_on_request_the_first_names_the_build_and_the_last_the_signal() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let agent = node.agent(&["--log-format", "json"])?;
        eventually(SOON, "the agent is ready", || is_ready(node, agent.id()))?;
        let log = agent.stop(SOON)?.stderr;
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect();
        let (first, last) = (&lines[0], &lines[lines.len() - 1]);
        assert_eq!(first["message"], "podlan-node starts", "{log}");
        assert_eq!([&first["node"], &first["version"]], ["node1", env!("CARGO_PKG_VERSION")], "{log}");
        assert!(first["source"].as_str().is_some_and(|source| source.contains(Lab::NODES_FILE)), "{log}");
        assert!(first["commit"].as_str().is_some_and(|commit| !commit.is_empty()), "{log}");
        assert_eq!(last["message"], "podlan-node ends; the routes stay", "{log}");
        assert_eq!(last["signal"], "SIGTERM", "{log}");
        Ok(())
    });
}

#[test]
fn a_list_that_is_held_and_its_release_are_logged_once() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, _, _] = lab.these();
        let agent = one.agent(&["--withdraw-hold", "1h"])?;
        eventually(SOON, "the agent is ready", || is_ready(one, agent.id()))?;
        lab.write_nodes(&json!({ "kind": "NodeList", "items": [one.as_kubernetes()] }).to_string())?;
        says(&agent, "a list of nodes is held: it would withdraw too many routes")?;
        one.command(binaries::find("podlan-node")?).arg("release-withdrawal").succeeds()?;
        says(&agent, "an operator released the held withdrawal")?;
        says(&agent, "no list of nodes is held any more")?;
        let log = agent.stop(SOON)?.stderr;
        assert_eq!(log.matches("is held: it would withdraw").count(), 1, "{log}");
        Ok(())
    });
}
