//! Do the plugins exist that the configuration names, and are podlan's of this version?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::{Facts, PluginFile};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let plugins = facts.plugins.as_ref().map_err(Clone::clone)?;
    if plugins.is_empty() {
        return Ok(Finding::moot("no configuration names podlan"));
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
            PluginFile::Missing => problems.push(
                Condition::new(
                    Kind::PluginMissing,
                    name.as_str(),
                    format!("{path} is missing, and the configuration names {name}"),
                )
                .decided_by_a_person(format!("install it: {source}; or remove {name} from the configuration")),
            ),
            PluginFile::NotExecutable => problems.push(
                Condition::new(Kind::PluginNotExecutable, name.as_str(), format!("{path} is not executable"))
                    .decided_by_a_person(format!("chmod 755 {path}, or install it again: {source}"))
                    .by_command(format!("chmod 755 {path}")),
            ),
            PluginFile::Present { same: Some(false) } => problems.push(
                Condition::new(
                    Kind::PluginVersion,
                    name.as_str(),
                    format!("{path} is not the {name} that this podlan-node came with"),
                )
                .because(
                    "a plugin and an agent of different versions may disagree about the store's format or about \
                     which objects are podlan's",
                )
                .decided_by_a_person(format!("install it again: {source}")),
            ),
            PluginFile::Present { .. } => {}
        }
    }
    problems.extend(facts.loopback.as_ref().filter(|loopback| !loopback.there).map(|loopback| {
        Condition::new(
            Kind::LoopbackMissing,
            loopback.path.as_str(),
            format!("{} is missing, and containerd listens on {}", loopback.path, loopback.socket),
        )
        .decided_by_a_person(
            "install the reference plugins (containernetworking-plugins) there, or set use_internal_loopback = true in \
             containerd's configuration (containerd 2) and start it again",
        )
    }));
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let unsure = plugins
        .iter()
        .any(|plugin| plugin.name.starts_with("podlan") && plugin.file == PluginFile::Present { same: None });
    let version = if unsure { "; their version is unknown: this program is not installed beside them" } else { "" };
    Ok(Finding::of(problems, format!("{}{version}", names.join(", "))))
}
