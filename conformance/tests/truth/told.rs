//! What each surface says of a condition.

use podlan_conformance::agent::{METRICS, metrics_at};
use podlan_conformance::lab::binaries;
use serde_json::Value;

use crate::alerts;
use crate::row::Surface;
use crate::stage::Stage;

/// A condition, as `doctor --json` and node.json have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) wrong: String,
    pub(crate) cure: String,
    pub(crate) command: Option<String>,
}

impl Told {
    fn read(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        value["kind"].as_str().filter(|_| value["wrong"].is_string())?;
        Some(Self {
            kind: text("kind"),
            subject: text("subject"),
            wrong: text("wrong"),
            cure: text("cure"),
            command: value["command"].as_str().map(str::to_owned),
        })
    }

    /// Whether it is of this kind and names all of these.
    pub(crate) fn is(&self, kind: &str, names: &[String]) -> bool {
        let said = format!("{} {}", self.subject, self.wrong);
        self.kind == kind && names.iter().all(|name| said.contains(name))
    }
}

/// Every condition anywhere in a JSON value.
pub(crate) fn all(value: &Value) -> Vec<Told> {
    let mut found: Vec<Told> = Told::read(value).into_iter().collect();
    match value {
        Value::Array(items) => found.extend(items.iter().flat_map(all)),
        Value::Object(fields) => found.extend(fields.values().flat_map(all)),
        _ => {}
    }
    found
}

/// The conditions of node.json.
pub(crate) fn by_agent(stage: &Stage<'_>) -> Result<Vec<Told>, String> {
    let state = stage.state()?;
    match &state["conditions"] {
        Value::Array(_) => Ok(all(&state["conditions"])),
        _ => Err("node.json has no conditions".to_owned()),
    }
}

/// The conditions of `podlan-node doctor --json`, and whether its exit code says that nothing is wrong.
pub(crate) fn by_doctor(stage: &Stage<'_>) -> Result<(Vec<Told>, bool, String), String> {
    let text = |error: podlan_conformance::lab::Error| error.to_string();
    let command = stage.node.command(binaries::find("podlan-node").map_err(text)?).args(["doctor", "--json"]);
    let output = command.run().map_err(text)?;
    let said: Value = serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {}", output.stdout))?;
    Ok((all(&said), output.success(), output.stdout))
}

/// The text of `podlan-node status`.
pub(crate) fn by_status(stage: &Stage<'_>) -> Result<String, String> {
    let text = |error: podlan_conformance::lab::Error| error.to_string();
    let command = stage.node.command(binaries::find("podlan-node").map_err(text)?).arg("status");
    let output = command.run().map_err(text)?;
    Ok(output.stdout + &output.stderr)
}

/// What `surface` says of the condition of this kind that names all of these; otherwise what it says instead.
pub(crate) fn says(surface: Surface, stage: &Stage<'_>, kind: &str, names: &[String]) -> Result<Told, String> {
    let find = |all: &[Told]| all.iter().find(|told| told.is(kind, names)).cloned();
    let named = |text: &str| names.iter().all(|name| text.contains(name));
    match surface {
        Surface::NodeJson => {
            let all = by_agent(stage)?;
            find(&all).ok_or_else(|| brief(&all))
        }
        Surface::Doctor => {
            let (all, well, _) = by_doctor(stage)?;
            match find(&all) {
                Some(told) if !well => Ok(told),
                Some(_) => Err("doctor has it and ends with 0".to_owned()),
                None => Err(format!("{}{}", brief(&all), if well { "; it ends with 0" } else { "" })),
            }
        }
        Surface::Status => {
            let said = words(&by_status(stage)?);
            // That the agent is gone is the line of its readiness.
            match named(&said) && (said.contains(kind) || (kind == "agent-gone" && !said.contains("ready yes"))) {
                true => Ok(Told::default()),
                false => Err(said.lines().take(12).collect::<Vec<_>>().join(" / ")),
            }
        }
        Surface::Metrics => severity(&metrics_at(stage.node, METRICS)?, kind)
            .map(|_| Told::default())
            .ok_or_else(|| format!("podlan_node_conditions of {kind} is not 1")),
        Surface::Log => {
            let log = stage.log();
            let line = log.lines().find(|line| line.contains(kind) && named(line));
            let last = || log.lines().last().unwrap_or_default().chars().take(160).collect();
            line.map(|line| Told { wrong: line.to_owned(), ..Told::default() }).ok_or_else(last)
        }
        Surface::Alert => {
            let Ok(metrics) = metrics_at(stage.node, METRICS) else {
                let alert = alerts::of_silence().ok_or("no alert fires when the agent does not answer")?;
                return Ok(Told { subject: alert, ..Told::default() });
            };
            let severity = severity(&metrics, kind).ok_or("no metric, so no alert")?;
            let alert = alerts::of_condition(kind, &severity).ok_or(format!("no alert fires on {kind}, {severity}"))?;
            Ok(Told { subject: alert, ..Told::default() })
        }
    }
}

/// The severity under which the metrics count conditions of this kind.
fn severity(metrics: &str, kind: &str) -> Option<String> {
    metrics.lines().find_map(|line| {
        let (labels, value) = line.strip_prefix("podlan_node_conditions{")?.split_once('}')?;
        let label = |name: &str| labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
        let counted = value.trim().parse::<f64>().is_ok_and(|count| count > 0.0);
        (label("kind")?.trim_end_matches('"') == kind && counted)
            .then(|| label("severity").unwrap_or_default().trim_end_matches('"').to_owned())
    })
}

/// Several conditions in one line.
pub(crate) fn brief(all: &[Told]) -> String {
    match all.is_empty() {
        true => "nothing".to_owned(),
        false => all
            .iter()
            .map(|told| format!("{} ({}): {}", told.kind, told.subject, told.wrong))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// A text without its line breaks and columns.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
