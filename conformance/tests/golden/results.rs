//! What the plugins print when they succeed, in each version of CNI.

use std::fmt::Write as _;

use podlan_conformance::lab::{Command, Error, Lab, Pod, binaries, within};
use serde_json::{Value, json};

use super::recorded::is_as_recorded;

const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network config of the given version, with every field that a result repeats.
fn config(pod: &Pod<'_>, version: &str) -> Value {
    let mut config = pod.node().podnet();
    config["cniVersion"] = json!(version);
    config["dns"] =
        json!({ "nameservers": ["10.96.0.10"], "domain": "cluster.local", "search": ["svc"], "options": ["ndots:5"] });
    config["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0", "mtu": 1400, "priority": 7 }]);
    config
}

/// Runs a call; returns its exit code and stdout, for a golden.
fn said(what: &str, command: Command) -> Result<(String, String), Error> {
    let output = command.run()?;
    let code = output.status.and_then(|status| status.code());
    let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    Ok((format!("{what}: exit code {code}\n{}\n", output.stdout.trim_end()), output.stdout))
}

#[test]
fn the_results_of_every_verb_in_every_version_are_as_recorded() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut all = String::new();
        for version in VERSIONS {
            let pod = node.pod(&format!("pod-{version}"))?;
            let config = config(&pod, version);
            let mut later = config.clone();
            for verb in ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"] {
                let mut given = if verb == "CHECK" { later.clone() } else { config.clone() };
                if verb == "GC" {
                    given["cni.dev/valid-attachments"] = json!([]);
                }
                let (text, stdout) = said(&format!("podlan {verb} {version}"), pod.cni(verb, "eth0", &given)?)?;
                write!(all, "{text}").ok();
                if verb == "ADD" {
                    later["prevResult"] = serde_json::from_str(&stdout).unwrap_or(Value::Null);
                }
            }
        }
        is_as_recorded("results.txt", &all);
        Ok(())
    });
}

#[test]
fn the_results_of_the_ipam_plugin_in_every_version_are_as_recorded() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut all = String::new();
        for version in VERSIONS {
            let pod = node.pod(&format!("pod-{version}"))?;
            let mut config = config(&pod, version);
            config["cni.dev/valid-attachments"] = json!([]);
            for verb in ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"] {
                let call = pod.cni(verb, "eth0", &config)?;
                let stdin = call.stdin_bytes().to_vec();
                let mut ipam = node.command(binaries::find("podlan-ipam")?).stdin(stdin);
                for (name, value) in [
                    ("CNI_COMMAND", verb),
                    ("CNI_CONTAINERID", pod.name()),
                    ("CNI_IFNAME", "eth0"),
                    ("CNI_PATH", "/opt/cni/bin"),
                ] {
                    ipam = ipam.env(name, value);
                }
                let ipam = ipam.env("CNI_NETNS", pod.netns());
                write!(all, "{}", said(&format!("podlan-ipam {verb} {version}"), ipam)?.0).ok();
            }
        }
        is_as_recorded("ipam_results.txt", &all);
        Ok(())
    });
}
