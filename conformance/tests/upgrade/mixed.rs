//! The plugin of one build with the agent of the other: every verb, and the output of the agent's commands about it.
//!
//! ```text
//!   node1 (agent of one build; web and gone by the plugin of the other) ── lan ── node2
//! ```

use std::fs;
use std::path::Path;

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use serde_json::{Value, json};

use crate::build::{Build, SOON, old_and_new};
use crate::host_ports::{answers, is_closed, portmap_knows, to_server};
use crate::member::{Age, Builds, Member};
use crate::runtime::{add, install, portmap};

/// The config that the runtime passes to the first plugin of the agent's conflist.
fn config(node: &Node) -> Result<Value, Error> {
    let list: Value = eventually(SOON, "the conflist is there", || {
        let text = fs::read_to_string(node.path("/run/net.d/10-podlan.conflist")).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    })?;
    let mut config = list["plugins"][0].clone();
    (config["name"], config["cniVersion"]) = (list["name"].clone(), json!("1.1.0"));
    Ok(config)
}

/// The container ids of the leases, as this build lists them.
fn leases(build: &Build, node: &Node) -> Result<Vec<String>, Error> {
    let said = build.node(node, &["leases", "--json"]).succeeds()?;
    let said: Value = serde_json::from_str(&said).unwrap_or(Value::Null);
    let mut ids: Vec<String> = said
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|lease| Some(lease["containerId"].as_str()?.to_owned()))
        .collect();
    ids.dedup();
    Ok(ids)
}

fn work_together(plugin: &Build, agent: &Build, earlier: &Build) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [node, _two] = lab.these();
    fs::create_dir_all(node.path("/run/net.d")).map_err(Error::system("make net.d"))?;
    let running = agent.agent(node, &["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d", "--masquerade"])?;
    agent.is_ready(node, &running)?;
    let config = config(node)?;
    let [web, gone, other] = [node.pod("web")?, node.pod("gone")?, node.pod("other")?];
    plugin.plugin(&web, "STATUS", &config).succeeds()?;
    let result = plugin.plugin(&web, "ADD", &config).succeeds()?;
    plugin.plugin(&gone, "ADD", &config).succeeds()?;
    let theirs = agent.plugin(&other, "ADD", &config).succeeds()?;
    let with_result = |result: &str| {
        let mut config = config.clone();
        config["prevResult"] = serde_json::from_str(result).unwrap_or(Value::Null);
        config
    };
    // Each build checks what the other has made.
    for build in [plugin, agent] {
        build.plugin(&web, "CHECK", &with_result(&result)).succeeds()?;
        build.plugin(&other, "CHECK", &with_result(&theirs)).succeeds()?;
        assert_eq!(leases(build, node)?, ["web", "gone", "other"]);
        build.node(node, &["status"]).succeeds()?;
        eventually(SOON, "the doctor finds nothing", || {
            let output = build.node(node, &["doctor", "--json"]).run().map_err(|error| error.to_string())?;
            let said: Value = serde_json::from_str(&output.stdout).map_err(|_| output.report())?;
            let checks = said["checks"].as_array().ok_or_else(|| output.report())?;
            let wrong = checks.iter().filter(|check| check["state"] == "wrong").map(|check| check["check"].clone());
            // /run/bin has the agent's plugins, and the doctor of another build reports that they are not its own. The earlier
            // doctor does not know the endpoint of the path probes: its link has another MTU, its routes are another's.
            let expected: &[&str] = match (build == agent, build == earlier) {
                (true, _) => &[],
                (false, false) => &["plugins"],
                (false, true) => &["plugins", "foreign-routes", "mtu"],
            };
            let wrong: Vec<Value> = wrong.filter(|check| !expected.iter().any(|name| check == name)).collect();
            if wrong.is_empty() { Ok(()) } else { Err(output.report()) }
        })?;
    }
    let ip = |result: &str| -> String {
        let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
        result["ips"][0]["address"].as_str().unwrap_or_default().split('/').next().unwrap_or_default().to_owned()
    };
    web.lab(&["ping", &ip(&theirs)])?.succeeds()?;

    let mut valid = config.clone();
    let kept = ["web", "other"].map(|id| json!({ "containerID": id, "ifname": "eth0" }));
    valid["cni.dev/valid-attachments"] = json!(kept);
    plugin.plugin(&gone, "GC", &valid).succeeds()?;
    assert_eq!(leases(agent, node)?, ["web", "other"]);
    web.lab(&["ping", &ip(&theirs)])?.succeeds()?;
    // Each build deletes what the other has made.
    agent.plugin(&web, "DEL", &config).succeeds()?;
    plugin.plugin(&other, "DEL", &config).succeeds()?;
    assert_eq!(leases(plugin, node)?, [] as [&str; 0]);
    let network = node.network()?;
    let of_pod = |line: &&str| line.contains("podl") && !line.contains("path probes");
    let left: Vec<_> = network.lines(&["link"]).into_iter().filter(of_pod).collect();
    assert_eq!(left, [] as [&str; 0]);
    Ok(())
}

#[test]
fn the_old_plugin_works_with_the_new_agent() {
    let Some([old, new]) = old_and_new() else { return };
    within(|| work_together(&old, &new, &old));
}

#[test]
fn the_new_plugin_works_with_the_old_agent() {
    let Some([old, new]) = old_and_new() else { return };
    within(|| work_together(&new, &old, &old));
}

/// While an agent is replaced there is a moment in which the plugins are those of the next one and the list is that of the last
/// one: each agent installs its plugins first.
fn host_ports_of_the_moment(builds: &Builds, portmap: &Path) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [one, two] = lab.these();
    let mut member = Member::new(one, builds, portmap)?;
    let _other = Member::new(two, builds, portmap)?;
    member.stops()?;
    // The upgrade: portmap has the ports, and podlan leaves them to it.
    install(one, &builds.new)?;
    let web = add(one.pod("web")?, to_server(8080))?;
    let server = web.pod.serve()?;
    answers(two, one, 8080)?;
    assert!(portmap_knows(one, "web")? && records(one).is_empty());
    web.check()?;
    drop(server);
    web.del()?;
    is_closed(two, one, 8080);
    assert!(!portmap_knows(one, "web")?);

    // The rollback: nobody has the ports, which CHECK of this build finds.
    member.becomes(Age::New)?;
    member.stops()?;
    install(one, &builds.old)?;
    let web = add(one.pod("web-again")?, to_server(8080))?;
    let server = web.pod.serve()?;
    is_closed(two, one, 8080);
    web.check()?;
    install(one, &builds.new)?;
    assert!(web.check().is_err_and(|error| error.to_string().contains("the record of its host ports is missing")));
    drop(server);
    web.del()?;
    assert!(records(one).is_empty() && !table(one)?.contains("8080"));
    Ok(())
}

#[test]
fn with_the_next_plugins_and_the_last_list_host_ports_are_portmaps_or_check_finds_that_they_are_missing() {
    let Some([old, new]) = old_and_new() else { return };
    let Some(portmap) = portmap() else { return };
    within(|| host_ports_of_the_moment(&Builds { old, new }, &portmap));
}
