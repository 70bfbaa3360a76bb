//! Are the plugins there that the configuration names, and are ours of this version?

use super::super::finding::{Finding, Outcome, Problem};
use facts::{Facts, PluginFile};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let plugins = facts.plugins.as_ref().map_err(Clone::clone)?;
    if plugins.is_empty() {
        return Ok(Finding::moot("no configuration with podlan names any"));
    }
    let mut problems = Vec::new();
    for plugin in plugins {
        let (name, path) = (&plugin.name, &plugin.path);
        let ours = name.starts_with("podlan");
        let source = if ours {
            "the agent installs it (run --cni-bin-dir)"
        } else {
            "it comes with the reference plugins (containernetworking-plugins)"
        };
        match plugin.file {
            PluginFile::Missing => problems.push(Problem::new(
                format!("{path} is missing, and the configuration names {name}"),
                "the runtime cannot start, nor cleanly stop, any pod of that network",
                format!("put it there: {source}; or take {name} out of the configuration"),
            )),
            PluginFile::NotExecutable => problems.push(Problem::new(
                format!("{path} is not executable"),
                "the runtime cannot start, nor cleanly stop, any pod of that network",
                format!("chmod 755 {path}, or put it there anew: {source}"),
            )),
            PluginFile::Present { same: Some(false) } => problems.push(Problem::new(
                format!("{path} is not the {name} that this podlan-node came with"),
                "plugin and agent of different versions may not agree on the store's form or on what is theirs",
                format!("put it there anew: {source}"),
            )),
            PluginFile::Present { .. } => {}
        }
    }
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let unsure = plugins
        .iter()
        .any(|plugin| plugin.name.starts_with("podlan") && plugin.file == PluginFile::Present { same: None });
    let version = if unsure { "; whether of this version cannot be said: this program lies without them" } else { "" };
    Ok(Finding::of(problems, format!("{}{version}", names.join(", "))))
}
