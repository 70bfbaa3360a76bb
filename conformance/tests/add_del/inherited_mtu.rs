//! The MTU that pods inherit on a node without a default route: that of the links by which the other nodes are reached.
//!
//! ```text
//!   node1 ──eth0── lan ── node2
//!     ├── spare (a link with a subnet and another MTU, by which no node is reached)
//!     └── web, late
//! ```

use std::fs;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, Pod, Running, binaries, eventually, within};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn mtu_of(pod: &Pod<'_>) -> Result<u64, Error> {
    let said = pod.command("ip").args(["-j", "link", "show", "eth0"]).succeeds()?;
    Ok(serde_json::from_str::<Value>(&said).unwrap_or_default()[0]["mtu"].as_u64().unwrap_or_default())
}

/// The agent that writes the runtime's configuration; returns once it accepts pods.
fn agent(node: &Node) -> Result<Running, Error> {
    fs::create_dir_all(node.path("/run/net.d"))
        .map_err(|source| Error::System { doing: "make net.d".into(), source })?;
    let agent = node.agent(&["--cni-conf-dir", "/run/net.d"])?;
    eventually(SOON, "the configuration is there", || config(node).map(drop))?;
    Ok(agent)
}

/// The plugin's part of the configuration that the agent wrote.
fn config(node: &Node) -> Result<Value, String> {
    let folder = fs::read_dir(node.path("/run/net.d")).map_err(|error| error.to_string())?;
    let file =
        folder.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "conflist"));
    let text = fs::read_to_string(file.ok_or("no conflist")?).map_err(|error| error.to_string())?;
    let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut config = list["plugins"][0].clone();
    (config["name"], config["cniVersion"]) = (list["name"].clone(), json!("1.0.0"));
    Ok(config)
}

fn add<'a>(node: &'a Node, name: &str, config: &Value) -> Result<Pod<'a>, Error> {
    let pod = node.pod(name)?;
    pod.add(config)?;
    Ok(pod)
}

#[test]
fn a_node_without_a_default_route_gives_its_pods_the_mtu_of_the_links_by_which_nodes_are_reached() {
    within(|| {
        let lab = Lab::new(2)?;
        let [node, _] = lab.these();
        node.shell("ip link set eth0 mtu 1400")?;
        let alone = add(node, "alone", &node.podnet())?;
        assert_eq!(mtu_of(&alone)?, 1400, "the only link with a subnet");
        node.shell(
            "ip link add spare type bridge; ip addr add 198.51.100.1/24 dev spare; ip link set spare mtu 1300 up",
        )?;
        let careful = add(node, "careful", &node.podnet())?;
        assert_eq!(mtu_of(&careful)?, 1300, "without an agent it is unknown by which link the nodes are reached");

        let _agent = agent(node)?;
        let config = config(node).map_err(|said| Error::Unreadable { from: "the conflist".into(), said })?;
        let web = add(node, "web", &config)?;
        assert_eq!(mtu_of(&web)?, 1400, "the agent knows it");
        eventually(SOON, "the pod of before follows", || match mtu_of(&careful) {
            Ok(1400) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        let doctor =
            node.command(binaries::find("podlan-node")?).args(["doctor", "--cni-conf-dir", "/run/net.d"]).run()?;
        let line = doctor.stdout.lines().find(|line| line.contains(" mtu ")).unwrap_or_default().to_owned();
        assert!(line.starts_with("ok") && line.contains("1400 on every pod link"), "{}", doctor.stdout);
        assert!(line.contains("the links by which the nodes are reached, for there is no default route"), "{line}");

        node.shell("ip link set eth0 mtu 1350")?;
        eventually(SOON, "pods follow", || match mtu_of(&web) {
            Ok(1350) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        assert_eq!(mtu_of(&add(node, "late", &config)?)?, 1350);
        // The default route decides, wherever it leads.
        node.shell("ip route add default via 198.51.100.254 dev spare")?;
        assert_eq!(mtu_of(&add(node, "outside", &config)?)?, 1300);
        Ok(())
    });
}

#[test]
fn pods_inherit_the_mtu_where_nodes_are_reached_by_ipv6_only() {
    within(|| {
        let lab = Lab::new(2)?;
        let [node, _] = lab.these();
        node.shell(
            "ip addr flush dev eth0 scope global; ip addr add fd31::1/64 dev eth0 nodad; ip link set eth0 mtu 1390",
        )?;
        let mut config = node.podnet();
        config["ipam"]["ranges"] = json!([config["ipam"]["ranges"][1]]);
        assert_eq!(mtu_of(&add(node, "six", &config)?)?, 1390);
        Ok(())
    });
}

#[test]
fn the_error_for_an_mtu_below_the_ipv6_minimum_names_its_link() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.shell("ip route add default via 172.31.0.254; ip link set eth0 mtu 1000")?;
        let refused = node.pod("web")?.add(&node.podnet()).map(drop).err().map(|error| error.to_string());
        let said = refused.unwrap_or_default();
        assert!(said.contains("1000, that of the default route's link eth0, is less than the 1280 bytes"), "{said}");
        Ok(())
    });
}
