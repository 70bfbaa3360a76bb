//! What the agent installs, and how the plugin's STATUS uses the agent's state.
//!
//! ```text
//!   node1 (agent: /run/net.d/10-podlan.conflist, /run/bin) ──┬── node2
//!     └── web                                               lan
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, Pod, eventually, within};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const INSTALL: [&str; 6] = ["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d", "--resync", "100ms"];

fn conflist(node: &Node) -> PathBuf {
    node.path("/run/net.d/10-podlan.conflist")
}

/// The conflist as a runtime passes it to the first plugin.
fn first_plugin(node: &Node) -> Result<Value, String> {
    let text = fs::read_to_string(conflist(node)).map_err(|error| error.to_string())?;
    let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut config = list["plugins"][0].clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = json!("1.1.0");
    Ok(config)
}

/// The node's network with the agent's state file in it, as the conflist has it.
fn with_agent(node: &Node) -> Value {
    let mut config = node.podnet();
    config["cniVersion"] = json!("1.1.0");
    config["agent"] = json!("/run/podlan/node.json");
    config
}

/// The code of STATUS; 0 for success.
fn status(pod: &Pod<'_>, config: &Value) -> Result<u64, String> {
    let output =
        pod.cni("STATUS", "eth0", config).and_then(|command| command.run()).map_err(|error| error.to_string())?;
    if output.success() {
        return Ok(0);
    }
    let said: Value = serde_json::from_str(&output.stdout).map_err(|error| error.to_string())?;
    said["code"].as_u64().ok_or_else(|| output.stdout.clone())
}

fn becomes(pod: &Pod<'_>, config: &Value, code: u64) -> Result<(), Error> {
    eventually(SOON, &format!("STATUS answers {code}"), || match status(pod, config)? {
        answered if answered == code => Ok(()),
        answered => Err(format!("{answered}: {:?}", fs::read_to_string(pod.node().path("/run/podlan/node.json")))),
    })
}

#[test]
fn the_conflist_is_written_once_the_routes_exist_and_follows_the_pod_cidrs() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let made = fs::create_dir_all(one.path("/run/net.d"));
        made.map_err(|source| Error::System { doing: "make net.d".into(), source })?;
        lab.list(&[two])?;
        let _agent = one.agent(&INSTALL)?;
        eventually(SOON, "the agent reports why it is not ready", || {
            let said = fs::read_to_string(one.path("/run/podlan/node.json")).unwrap_or_default();
            if said.contains("no node is called node1") { Ok(()) } else { Err(said) }
        })?;
        assert!(!conflist(one).exists(), "no pods before the routes exist");
        lab.list(&[one, two])?;
        let config = eventually(SOON, "the conflist is there", || first_plugin(one))?;
        for name in ["podlan", "podlan-ipam"] {
            assert!(one.path(&format!("/run/bin/{name}")).exists(), "{name} is installed");
        }
        let web = one.pod("web")?;
        let added = web.add(&config)?;
        assert!(one.pod_cidrs()[0].contains(added.v4()?) && one.pod_cidrs()[1].contains(added.v6()?));
        becomes(&web, &config, 0)?;

        let mut moved = one.as_kubernetes();
        moved["spec"] = json!({ "podCIDRs": ["10.244.101.0/24", "fd00:10:244:101::/64"] });
        lab.write_nodes(&json!({ "kind": "NodeList", "items": [moved, two.as_kubernetes()] }).to_string())?;
        eventually(SOON, "the conflist has the new CIDR", || match first_plugin(one)? {
            config
                if config["ipam"]["ranges"]
                    == json!([[{ "subnet": "10.244.101.0/24" }], [{ "subnet": "fd00:10:244:101::/64" }]]) =>
            {
                Ok(())
            }
            config => Err(config.to_string()),
        })?;
        web.del(&config)
    });
}

#[test]
fn status_fails_for_a_pool_of_another_node_and_for_an_agent_that_has_ended() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let system = |doing: &str| {
            let doing = doing.to_owned();
            move |source| Error::System { doing, source }
        };
        fs::create_dir_all(one.path("/run/net.d")).map_err(system("make net.d"))?;
        let agent = one.agent(&INSTALL)?;
        let config = eventually(SOON, "the conflist is there", || first_plugin(one))?;
        let web = one.pod("web")?;
        becomes(&web, &config, 0)?;

        let theirs = one.path("/run/net.d/20-wrong.conflist");
        let pool = json!({ "name": "wrong", "plugins": [two.podnet()] });
        fs::write(&theirs, pool.to_string()).map_err(system("write a conflist"))?;
        becomes(&web, &config, 50)?;
        fs::remove_file(&theirs).map_err(system("remove it"))?;
        becomes(&web, &config, 0)?;

        agent.stop(SOON)?;
        fs::remove_file(one.path("/run/podlan/node.json")).map_err(system("remove the agent's word"))?;
        becomes(&web, &config, 50)
    });
}

/// As after a reboot: the conflist exists, and the agent does not run yet.
#[test]
fn add_fails_before_the_first_routes_and_succeeds_after_the_agent_has_ended() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let config = with_agent(one);
        let (web, late) = (one.pod("web")?, one.pod("late")?);
        let refused = web.cni("ADD", "eth0", &config)?.run()?;
        let said: Value = serde_json::from_str(&refused.stdout).unwrap_or_default();
        assert_eq!(said["code"], 11, "{refused:?}");

        lab.list(&[])?;
        let agent = one.agent(&[])?;
        eventually(SOON, "the agent has written its state", || {
            fs::read_to_string(one.path("/run/podlan/node.json")).map_err(|error| error.to_string())
        })?;
        assert!(!web.cni("ADD", "eth0", &config)?.run()?.success(), "it has no routes yet");
        lab.list(&[one])?;
        becomes(&web, &config, 0)?;
        web.add(&config)?;
        agent.stop(SOON)?;
        late.add(&config)?;
        late.del(&config)?;
        web.del(&config)
    });
}

#[test]
fn the_node_stays_ready_while_its_agent_is_replaced_by_one_without_a_list_of_nodes_yet() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let config = with_agent(one);
        let web = one.pod("web")?;
        let agent = one.agent(&[])?;
        becomes(&web, &config, 0)?;
        agent.stop(SOON)?;

        lab.write_nodes("not yet")?;
        let mut agent = one.agent(&[])?;
        agent.prints("no new list of nodes", SOON)?;
        assert_eq!(status(&web, &config), Ok(0), "the state of the previous agent counts");
        lab.list(&[two])?;
        becomes(&web, &config, 50)?;
        lab.list(&[one, two])?;
        becomes(&web, &config, 0)
    });
}
