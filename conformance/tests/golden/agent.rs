//! What an agent with every part enabled makes and prints: JSON keys, metrics, files, the conflist, nft rules, routes,
//! links.
//!
//! ```text
//!   node1 (agent; /run/net.d, /run/bin, /run/podlan) ──┬── node2 (agent)
//!     └── web                                         lan   └── db
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use podlan_conformance::lab::{Added, Error, Lab, Node, Pod, Running, binaries, eventually, skip, within};
use serde_json::{Value, json};

use super::recorded::is_as_recorded;
use super::shape::shape;

const SOON: Duration = Duration::from_secs(20);
const LISTEN: &str = "127.0.0.1:9419";
const NFT: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"];

/// Options that enable every part of the agent.
const OPTIONS: &[&str] = &[
    "--masquerade",
    "--no-masquerade-to",
    "192.0.2.0/24,2001:db8::/32",
    "--accept-forward",
    "--listen",
    LISTEN,
    "--cni-bin-dir",
    "/run/bin",
    "--cni-conf-dir",
    "/run/net.d",
    "--chain",
    "portmap",
    "--chain",
    "bandwidth",
    // The interval at which the leases are counted.
    "--resync",
    "300ms",
];

/// A node with an agent that is ready, and a pod that was added by its conflist.
struct Rig<'a> {
    node: &'a Node,
    web: Pod<'a>,
    at: Added,
    _agents: [Running; 2],
}

impl<'a> Rig<'a> {
    fn start(lab: &'a Lab) -> Result<Self, Error> {
        let [node, two] = lab.these();
        // The agent accepts pods in the chains of other programs that drop unknown traffic, and needs one for that.
        if let Some(nft) = nft() {
            for words in [
                "add table ip docker",
                "add chain ip docker FORWARD { type filter hook forward priority 0 ; policy drop ; }",
            ] {
                node.command(nft).args(words.split(' ')).succeeds()?;
            }
        }
        for folder in ["/run/net.d", "/run/bin"] {
            fs::create_dir_all(node.path(folder)).map_err(Error::system("make a directory"))?;
        }
        let agents = [node.agent(OPTIONS)?, two.agent(&[])?];
        for node in [node, two] {
            eventually(SOON, "the agent is ready", || {
                let said = ask(node, &["status", "--json"])?;
                if said["ready"] == true && said["routed"] == true { Ok(()) } else { Err(said.to_string()) }
            })?;
        }
        let web = node.pod("web")?;
        let at = web.add(&Self::config(node)?)?;
        // The keys of a condition are recorded: the conflist chains a plugin that is not installed.
        eventually(SOON, "the agent reports a condition", || {
            let said = ask(node, &["status", "--json"])?;
            let mut kinds = said["conditions"].as_array().into_iter().flatten().map(|condition| &condition["kind"]);
            if kinds.any(|kind| kind == "plugin-missing") { Ok(()) } else { Err(said.to_string()) }
        })?;
        Ok(Self { node, web, at, _agents: agents })
    }

    /// The config that a runtime passes to the first plugin of the agent's conflist.
    fn config(node: &Node) -> Result<Value, Error> {
        let list: Value = eventually(SOON, "the conflist is there", || {
            let text =
                fs::read_to_string(node.path("/run/net.d/10-podlan.conflist")).map_err(|error| error.to_string())?;
            serde_json::from_str(&text).map_err(|error| error.to_string())
        })?;
        let mut config = list["plugins"][0].clone();
        (config["name"], config["cniVersion"]) = (list["name"].clone(), list["cniVersion"].clone());
        Ok(config)
    }
}

fn nft() -> Option<&'static str> {
    NFT.into_iter().find(|path| Path::new(path).exists())
}

/// The JSON that `podlan-node` prints.
fn ask(node: &Node, arguments: &[&str]) -> Result<Value, String> {
    let program = binaries::find("podlan-node").map_err(|error| error.to_string())?;
    let output = node.command(program).args(arguments).run().map_err(|error| error.to_string())?;
    serde_json::from_str(&output.stdout).map_err(|_| output.report())
}

fn output(node: &Node, arguments: &[&str]) -> Result<Value, Error> {
    ask(node, arguments).map_err(|said| Error::Unreadable { from: arguments.join(" "), said })
}

fn read(node: &Node, path: &str) -> Result<String, Error> {
    fs::read_to_string(node.path(path)).map_err(Error::system(format!("read {path}")))
}

#[test]
fn the_keys_of_all_json_that_the_agent_and_its_commands_write_are_as_recorded() {
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::start(&lab)?;
        // The other node has no pods, so that it does not probe; this one has the pod by now.
        eventually(SOON, "the paths are judged", || {
            let paths = ask(rig.node, &["status", "--json"])?["paths"].clone();
            let judged = ["ipv4", "ipv6"].iter().all(|family| paths["counts"][family]["not-probed"] == 1);
            if judged && paths["notProbed"].is_null() { Ok(()) } else { Err(paths.to_string()) }
        })?;
        for name in ["node", "verdicts"] {
            let text = read(rig.node, &format!("/run/podlan/{name}.json"))?;
            // One document, or one a line.
            let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
            let values = values.map_err(|_| Error::Unreadable { from: name.into(), said: text })?;
            is_as_recorded(&format!("{name}_json.txt"), &shape(&json!(values)));
        }
        is_as_recorded("status_json.txt", &shape(&output(rig.node, &["status", "--json"])?));
        is_as_recorded("leases_json.txt", &shape(&output(rig.node, &["leases", "--json"])?));
        let (own, other) = (rig.at.v4()?.to_string(), "10.244.2.2".to_owned());
        is_as_recorded("trace_json.txt", &shape(&output(rig.node, &["trace", &own, &other, "--json"])?));
        let doctor = output(rig.node, &["doctor", "--json"])?;
        let checks = doctor["checks"].as_array().into_iter().flatten().filter_map(|check| check["check"].as_str());
        let checks: String = checks.map(|check| format!("check {check}\n")).collect();
        is_as_recorded("doctor_json.txt", &(shape(&doctor) + &checks));
        Ok(())
    });
}

/// Names, types and labels of the metrics, without the values that differ from run to run.
fn metrics(text: &str) -> String {
    let mut lines = BTreeSet::new();
    for line in text.lines().skip_while(|line| !line.starts_with('#')) {
        match line.strip_prefix("# TYPE ").or_else(|| line.strip_prefix("# UNIT ")) {
            Some(_) => drop(lines.insert(line.to_owned())),
            None if line.starts_with('#') => {}
            None => drop(lines.insert(line.rsplit_once(' ').map_or(line, |(name, _)| name).to_owned())),
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[test]
fn the_names_and_labels_of_the_metrics_are_as_recorded() {
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::start(&lab)?;
        let at: SocketAddr = LISTEN.parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9419)));
        let text = eventually(SOON, "both addresses of the pod are counted", || {
            let text = rig.node.place().http_get(at, "/metrics")?;
            let counted = text.lines().any(|line| line == "podlan_node_leases{network=\"podnet\",state=\"alive\"} 2");
            if counted && text.contains("podlan_node_forward_drops 0") { Ok(text) } else { Err(text) }
        })?;
        let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
        is_as_recorded("metrics.txt", &metrics(&text.replace(&version, "version=\"..\"")));
        Ok(())
    });
}

/// The kind and mode of each file below `folder`, sorted.
fn files(folder: &Path, shown: &str, lines: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        let shown = format!("{shown}/{}", entry.file_name().display());
        let kind = match meta.file_type() {
            kind if kind.is_dir() => "directory",
            kind if kind.is_socket() => "socket",
            kind if kind.is_symlink() => "link",
            _ => "file",
        };
        lines.insert(format!("{shown}: {kind} {:o}\n", meta.permissions().mode() & 0o7777));
        if meta.is_dir() {
            files(&entry.path(), &shown, lines)?;
        }
    }
    Ok(())
}

#[test]
fn the_conflist_and_the_names_of_the_files_that_the_agent_and_the_plugins_make_are_as_recorded() {
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::start(&lab)?;
        let mut all = String::new();
        for folder in ["/run/podlan", "/run/net.d", "/run/bin"] {
            let mut lines = BTreeSet::new();
            files(&rig.node.path(folder), folder, &mut lines).map_err(Error::system(format!("list {folder}")))?;
            all.extend(lines);
        }
        is_as_recorded("files.txt", &all);
        is_as_recorded("10-podlan.conflist", &read(rig.node, "/run/net.d/10-podlan.conflist")?);
        Ok(())
    });
}

/// Leaves out what differs from run to run: handles and counts.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            ["handle", "packets", "bytes"].iter().for_each(|key| drop(members.remove(*key)));
            members.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

/// A ruleset as `nft -j` lists it, an object a line, the tables by family and name: which of two tables was made first is
/// nobody's promise, unlike the order of the rules in a chain.
fn by_table(listed: &str) -> String {
    let listed: Value = serde_json::from_str(listed).unwrap_or(Value::Null);
    let mut tables = BTreeMap::<_, String>::new();
    for object in listed["nftables"].as_array().into_iter().flatten().filter(|object| object["metainfo"].is_null()) {
        let mut object = object.clone();
        settle(&mut object);
        let of = object.as_object().and_then(|object| object.values().next()).unwrap_or(&Value::Null);
        let table = if object["table"].is_null() { &of["table"] } else { &of["name"] };
        writeln!(tables.entry(format!("{} {table}", of["family"])).or_default(), "{object}").ok();
    }
    tables.into_values().collect()
}

#[test]
fn the_nft_tables_chains_rules_and_comments_are_as_recorded() {
    let Some(nft) = nft() else { return skip("missing nft: apt-get install nftables") };
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::start(&lab)?;
        let listed = eventually(SOON, "all tables are there", || {
            let output =
                rig.node.command(nft).args(["-j", "list", "ruleset"]).run().map_err(|error| error.to_string())?;
            let text = output.stdout;
            let there =
                ["podlan-masquerade", "answers pods only", "own addresses only", "10.244.2.0", "podlan: forward"]
                    .iter()
                    .all(|name| text.contains(name));
            if there { Ok(text) } else { Err(text) }
        })?;
        is_as_recorded("nft.txt", &by_table(&listed));
        Ok(())
    });
}

#[test]
fn the_links_aliases_addresses_neighbours_and_routes_with_protocol_and_metric_are_as_recorded() {
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::start(&lab)?;
        is_as_recorded("network.txt", &format!("node\n{}pod\n{}", rig.node.network()?, rig.web.network()?));
        Ok(())
    });
}
