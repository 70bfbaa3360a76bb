//! The netlink messages of the plugin's verbs, byte for byte.

use std::fmt::Write as _;
use std::fs;

use podlan_conformance::lab::{Command, Error, Lab, Node, has_strace, within};
use podlan_conformance::sent::{STRACE, Sent};
use serde_json::{Value, json};

use super::recorded::is_as_recorded;

const TRACE: &str = "/run/trace";

/// Runs a call to its success under strace; returns its stdout and adds the messages that it sent.
fn call(node: &Node, what: &str, command: Command, all: &mut String) -> Result<String, Error> {
    let stdout = command.under("strace", STRACE.into_iter().chain(["-o", TRACE])).succeeds()?;
    let trace = fs::read_to_string(node.path(TRACE)).map_err(Error::system("read what strace wrote"))?;
    let sent = Sent::read(&trace);
    assert!(!sent.0.is_empty(), "{what} sent nothing: {trace}");
    writeln!(all, "== {what}\n{sent}").ok();
    Ok(stdout)
}

#[test]
fn the_netlink_messages_of_add_check_del_and_gc_are_as_recorded() {
    if !has_strace() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut all = String::new();
        let dual = node.podnet();
        let mut single = dual.clone();
        single["name"] = json!("single");
        single["ipam"]["ranges"] = json!([[{ "subnet": "10.245.1.0/24" }]]);
        for (what, config) in [("of one family", single), ("of both families", dual)] {
            let mut config = config;
            config["cniVersion"] = json!("1.1.0");
            let [web, gone] = [
                node.pod(&format!("web-{}", config["name"]).replace('"', ""))?,
                node.pod(&format!("gone-{}", config["name"]).replace('"', ""))?,
            ];
            let added = call(node, &format!("ADD {what}"), web.cni("ADD", "eth0", &config)?, &mut all)?;
            let mut checked = config.clone();
            checked["prevResult"] = serde_json::from_str(&added).unwrap_or(Value::Null);
            call(node, &format!("CHECK {what}"), web.cni("CHECK", "eth0", &checked)?, &mut all)?;
            call(node, &format!("ADD of a second attachment {what}"), web.cni("ADD", "net1", &config)?, &mut all)?;
            call(node, &format!("DEL of it {what}"), web.cni("DEL", "net1", &config)?, &mut all)?;
            gone.add(&config)?;
            let mut valid = config.clone();
            valid["cni.dev/valid-attachments"] = json!([{ "containerID": web.name(), "ifname": "eth0" }]);
            call(node, &format!("GC {what}"), gone.cni("GC", "eth0", &valid)?, &mut all)?;
            call(node, &format!("DEL {what}"), web.cni("DEL", "eth0", &config)?, &mut all)?;
            call(node, &format!("a second DEL {what}"), web.cni("DEL", "eth0", &config)?, &mut all)?;
        }
        is_as_recorded("netlink_messages.txt", &all);
        Ok(())
    });
}
