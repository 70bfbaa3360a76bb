//! What is wrong with a node is the same condition wherever podlan reports it: in `node.json`, `/metrics`, the log, `status` and
//! `doctor`; and in none of them once it is over.
//!
//! ```text
//!   node1 (agent --no-keep-forwarding, a pod, net.ipv4.ip_forward=0) ──lan── node2
//! ```

use std::time::{Duration, Instant};

use podlan_conformance::agent::{METRICS, has_routes_to, metric, state, status};
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, patient, within};
use serde_json::Value;

/// For facts of a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Within which the agent reports what the kernel has an event for.
const REPORTED: Duration = Duration::from_secs(5);

const KIND: &str = "forwarding-off";

const METRIC: &str = "podlan_node_conditions{kind=\"forwarding-off\",severity=\"critical\"}";

fn set_forwarding(node: &Node, value: &str) -> Result<(), Error> {
    let wrote = node.place().enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", value))?;
    wrote.map_err(|source| Error::System { doing: "write ip_forward".to_owned(), source })
}

fn of_kind(said: &Value) -> Option<Value> {
    said["conditions"].as_array()?.iter().find(|condition| condition["kind"] == KIND).cloned()
}

/// The condition as `doctor --json` has it, if it has it.
fn by_doctor(node: &Node) -> Result<Option<Value>, Error> {
    let output = node.command(binaries::find("podlan-node")?).args(["doctor", "--json"]).run()?;
    let said: Value = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    let checks = said["checks"].as_array().cloned().unwrap_or_default();
    let problems = checks.iter().flat_map(|check| check["problems"].as_array().cloned().unwrap_or_default());
    Ok(problems.into_iter().find(|problem| problem["kind"] == KIND))
}

/// How often the log has a line of this kind with this word.
fn logged(log: &str, word: &str) -> usize {
    log.lines().filter(|line| line.contains(word) && line.contains(KIND)).count()
}

#[test]
fn forwarding_off_is_one_condition_in_the_state_the_metrics_the_log_status_and_doctor_until_it_is_on_again() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let agent = one.agent(&["--no-keep-forwarding", "--listen", &METRICS.to_string()])?;
        has_routes_to(one, two)?;
        one.pod("web")?.add(&one.podnet())?;
        // The agent has looked at least once.
        eventually(SOON, "the metric is there", || match metric(one, METRIC)? {
            0 => Ok(()),
            count => Err(count.to_string()),
        })?;

        let begun = Instant::now();
        set_forwarding(one, "0")?;
        let condition = eventually(SOON, "node.json has the condition", || {
            let said = state(one);
            of_kind(&said).ok_or_else(|| said.to_string())
        })?;
        let took = begun.elapsed();
        assert!(took < patient(4 * REPORTED), "{took:?}: {condition}");
        assert!(condition["since"].as_u64().is_some_and(|since| since > 0), "{condition}");
        eventually(SOON, "the metric counts it", || match metric(one, METRIC)? {
            1 => Ok(()),
            count => Err(count.to_string()),
        })?;
        eventually(SOON, "the log has it once", || match agent.stderr() {
            said if logged(&said, "ERROR") == 1 => Ok(()),
            said => Err(said),
        })?;
        let shown = of_kind(&status(one)?).unwrap_or_default();
        assert_eq!(shown, condition, "status --json");
        let text = one.command(binaries::find("podlan-node")?).arg("status").run()?.stdout;
        assert!(
            text.lines().any(|line| line.starts_with("WRONG") && line.contains(KIND) && line.contains("critical")),
            "{text}"
        );
        let judged = by_doctor(one)?.unwrap_or_default();
        for key in ["kind", "subject", "severity", "wrong", "why", "cure", "command"] {
            assert_eq!(judged[key], condition[key], "doctor, {key}");
        }

        // The command of the condition, as it is printed.
        let command = condition["command"].as_str().unwrap_or_default();
        assert_eq!(command, "sysctl -w net.ipv4.ip_forward=1");
        set_forwarding(one, "1")?;
        eventually(SOON, "node.json has it no more", || {
            let said = state(one);
            of_kind(&said).map_or(Ok(()), |condition| Err(condition.to_string()))
        })?;
        eventually(SOON, "the metric is 0 again", || match metric(one, METRIC)? {
            0 => Ok(()),
            count => Err(count.to_string()),
        })?;
        eventually(SOON, "the log has that it is over", || match agent.stderr() {
            said if logged(&said, "condition cleared") == 1 && logged(&said, "ERROR") == 1 => Ok(()),
            said => Err(said),
        })?;
        assert_eq!(by_doctor(one)?, None);
        assert_eq!(of_kind(&status(one)?), None);
        Ok(())
    });
}
