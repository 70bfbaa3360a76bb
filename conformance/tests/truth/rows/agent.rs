//! The agent itself.

use std::time::Duration;

use crate::row::{Fault, Row, Surface};

const SILENT: &[Surface] = &[Surface::NodeJson, Surface::Metrics, Surface::Log];

rows! {
    the_agent_is_killed: Row {
        broken: "the agent is killed",
        fault: Fault::on_node("kill -9 $AGENT", ""),
        kind: "agent-gone",
        names: &["$AGENT"],
        not_by: SILENT,
        ..Row::PLAIN
    };
    the_agent_hangs: Row {
        broken: "the agent is stopped, or hangs",
        fault: Fault::on_node("kill -STOP $AGENT", "kill -CONT $AGENT"),
        kind: "agent-gone",
        names: &["$AGENT"],
        not_by: SILENT,
        within: Duration::from_secs(40),
        ..Row::PLAIN
    };
}
