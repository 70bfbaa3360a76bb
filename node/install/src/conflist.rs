//! The network configuration that the agent writes for the runtime, and what it reads from others in the same
//! directory. Pure, but for [`directory`].

pub mod directory;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value, json};

use crate::pools::Pool;

/// The runtimes' default directory of configurations.
pub const DIR: &str = "/etc/cni/net.d";

/// The file's name in the runtime's directory. The runtime takes the first by name.
pub const FILE: &str = "10-podlan.conflist";

/// A plugin that may be chained after podlan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chained {
    /// hostPort
    Portmap,
    /// kubernetes.io/ingress-bandwidth and egress-bandwidth
    Bandwidth,
}

/// What the runtime's directory of plugins says of one that may be chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its binary is not there, or cannot be seen.
    Missing,
    /// It is there. CNI 1.1.0 is not among the versions that it says it speaks, or it does not say.
    Before110,
    /// It speaks CNI 1.1.0.
    Speaks110,
}

/// The contents of the agent's conflist.
#[derive(Clone, Debug)]
pub struct Conflist {
    /// The network's name.
    pub network: String,
    /// The path of the agent's state file, for the plugin.
    pub agent: String,
    /// The directory of the leases.
    pub data_dir: String,
    /// The pods' MTU in bytes; `None`: the plugin takes the node's.
    pub mtu: Option<u32>,
    /// Chained after podlan in this order, whether their binaries exist or not.
    pub chain: Vec<Chained>,
    /// Chained after those, each only while its binary exists.
    pub chain_if_installed: Vec<Chained>,
}

impl Conflist {
    /// The file's text for this node's CIDRs: one set of ranges for each family. `look` tells what is known of a plugin that
    /// may be chained. podlan has the host ports, unless portmap is chained: one of the two.
    pub fn text(&self, cidrs: &[IpNetwork], host_source: &[IpAddr], look: &dyn Fn(Chained) -> Found) -> String {
        let set = |v4: bool| -> Vec<Value> {
            let family = cidrs.iter().filter(|cidr| cidr.is_ipv4() == v4);
            family.map(|cidr| json!({ "subnet": cidr.to_string() })).collect()
        };
        let ranges: Vec<Vec<Value>> = [set(true), set(false)].into_iter().filter(|set| !set.is_empty()).collect();
        let mut podlan = json!({
            "type": "podlan",
            "agent": self.agent,
            "ipam": { "type": "podlan-ipam", "ranges": ranges, "dataDir": self.data_dir },
        });
        if let Some(mtu) = self.mtu {
            podlan["mtu"] = mtu.into();
        }
        if !host_source.is_empty() {
            podlan["hostSource"] = host_source.iter().map(ToString::to_string).collect();
        }
        let mut chained: Vec<(Chained, Found)> = self.chain.iter().map(|plugin| (*plugin, look(*plugin))).collect();
        let if_installed = self.chain_if_installed.iter().map(|plugin| (*plugin, look(*plugin)));
        chained.extend(if_installed.filter(|(_, found)| *found != Found::Missing));
        if chained.iter().all(|(plugin, _)| *plugin != Chained::Portmap) {
            podlan["capabilities"] = json!({ "portMappings": true });
        }
        let mut versions = vec!["0.4.0", "1.0.0"];
        // A runtime that supports 1.1.0 passes it to the whole chain, and the reference plugins before 1.6 refuse it.
        if chained.iter().all(|(_, found)| *found == Found::Speaks110) {
            versions.push("1.1.0");
        }
        let chained: Vec<Value> = chained.into_iter().map(|(plugin, _)| plugin.config()).collect();
        let plugins: Vec<Value> = [podlan].into_iter().chain(chained).collect();
        let list = json!({
            "cniVersion": "1.0.0",
            "cniVersions": versions,
            "name": self.network,
            "plugins": plugins,
        });
        format!("{list:#}\n")
    }
}

impl Chained {
    /// Its name in the runtime's directory.
    pub(crate) fn binary(self) -> &'static str {
        match self {
            Self::Portmap => "portmap",
            Self::Bandwidth => "bandwidth",
        }
    }

    fn config(self) -> Value {
        match self {
            Self::Portmap => json!({ "type": self.binary(), "capabilities": { "portMappings": true } }),
            Self::Bandwidth => json!({ "type": self.binary(), "capabilities": { "bandwidth": true } }),
        }
    }
}

/// Whether a runtime reads a file of this name as configuration.
pub(crate) fn is_configuration(name: &str) -> bool {
    [".conflist", ".conf", ".json"].iter().any(|ending| name.ends_with(ending)) && !name.starts_with('.')
}

/// The plugins of a configuration: those of a list, or the configuration itself.
pub fn plugins(config: &Value) -> Vec<&Map<String, Value>> {
    match config.get("plugins").and_then(Value::as_array) {
        Some(plugins) => plugins.iter().filter_map(Value::as_object).collect(),
        None => config.as_object().into_iter().collect(),
    }
}

/// The network's name, if this configuration sets an MTU.
fn chooses_mtu(config: &Value) -> Option<String> {
    let ours = plugins(config).into_iter().filter(|plugin| plugin.get("type").is_some_and(|kind| kind == "podlan"));
    // The plugin takes 0 as "not set".
    let chosen = ours.filter_map(|podlan| podlan.get("mtu")?.as_u64()).any(|mtu| mtu != 0);
    chosen.then(|| config["name"].as_str().unwrap_or_default().to_owned())
}

/// The pools that a configuration of podlan's, or of another plugin that leases from podlan-ipam, gives this node.
fn pools(file: &str, config: &Value) -> Vec<Pool> {
    let ours = plugins(config)
        .into_iter()
        .filter_map(|plugin| plugin.get("ipam"))
        .filter(|ipam| ipam["type"] == "podlan-ipam");
    ours.flat_map(|ipam| {
        let sets = ipam["ranges"].as_array().into_iter().flatten().filter_map(Value::as_array).flatten();
        sets.chain([ipam]).filter_map(|range| range["subnet"].as_str()?.parse().ok())
    })
    .map(|subnet| Pool { subnet, file: file.to_owned() })
    .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::directory::Configuration;
    use super::*;

    const HERE: &dyn Fn(Chained) -> Found = &|_| Found::Before110;
    const NOT_HERE: &dyn Fn(Chained) -> Found = &|_| Found::Missing;

    /// One with portmap where that is installed.
    pub(crate) fn conflist() -> Conflist {
        Conflist {
            network: "podnet".into(),
            agent: "/run/podlan/node.json".into(),
            data_dir: "/run/podlan".into(),
            mtu: None,
            chain: Vec::new(),
            chain_if_installed: vec![Chained::Portmap],
        }
    }

    #[test]
    fn the_conflist_has_a_set_for_each_family_and_serves_old_and_new_runtimes() {
        let cidrs = ["10.244.1.0/24", "10.244.9.0/24", "fd00:10:244:1::/64"].map(|text| text.parse().unwrap());
        let list: Value = serde_json::from_str(&conflist().text(&cidrs, &[], NOT_HERE)).unwrap();
        assert_eq!(list["cniVersion"], "1.0.0");
        assert_eq!(list["cniVersions"], json!(["0.4.0", "1.0.0", "1.1.0"]));
        let podlan = &list["plugins"][0];
        assert_eq!(podlan["agent"], "/run/podlan/node.json");
        let sets =
            json!([[{"subnet": "10.244.1.0/24"}, {"subnet": "10.244.9.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]]);
        assert_eq!(podlan["ipam"]["ranges"], sets);
        assert_eq!(list["plugins"].as_array().map(Vec::len), Some(1));
        assert_eq!(podlan["capabilities"], json!({"portMappings": true}));
    }

    #[test]
    fn a_foreign_plugin_is_chained_while_it_is_there_and_gets_no_version_that_it_may_refuse() {
        let cidrs = ["10.244.1.0/24".parse().unwrap()];
        let list: Value = serde_json::from_str(&conflist().text(&cidrs, &[], HERE)).unwrap();
        assert_eq!(list["plugins"][1], json!({"type": "portmap", "capabilities": {"portMappings": true}}));
        assert_eq!(list["cniVersions"], json!(["0.4.0", "1.0.0"]));
        let always = Conflist { chain: vec![Chained::Bandwidth], ..conflist() };
        let list: Value = serde_json::from_str(&always.text(&cidrs, &[], NOT_HERE)).unwrap();
        assert_eq!(list["plugins"][1]["type"], "bandwidth", "whether it is there or not");
        assert_eq!(list["plugins"].as_array().map(Vec::len), Some(2));
        assert_eq!(list["cniVersions"], json!(["0.4.0", "1.0.0"]), "nobody knows what it speaks");
    }

    #[test]
    fn plugins_that_speak_1_1_0_leave_it_in_force_and_portmap_alone_takes_the_host_ports() {
        let cidrs = ["10.244.1.0/24".parse().unwrap()];
        let both = Conflist { chain: vec![Chained::Bandwidth], ..conflist() };
        let text =
            |look: &dyn Fn(Chained) -> Found| -> Value { serde_json::from_str(&both.text(&cidrs, &[], look)).unwrap() };
        let list = text(&|_| Found::Speaks110);
        assert_eq!(list["cniVersions"], json!(["0.4.0", "1.0.0", "1.1.0"]));
        assert_eq!(list["plugins"][0]["capabilities"], Value::Null, "portmap has them");
        let one = text(&|plugin| if plugin == Chained::Portmap { Found::Before110 } else { Found::Speaks110 });
        assert_eq!(one["cniVersions"], json!(["0.4.0", "1.0.0"]), "the chain speaks what each speaks");
        let without = text(&|plugin| if plugin == Chained::Portmap { Found::Missing } else { Found::Speaks110 });
        assert_eq!(without["plugins"][0]["capabilities"], json!({"portMappings": true}));
        assert_eq!(without["cniVersions"], json!(["0.4.0", "1.0.0", "1.1.0"]));
    }

    #[test]
    fn what_it_writes_it_reads_back_as_its_pools() {
        let cidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"].map(|text| text.parse().unwrap());
        let read: Vec<IpNetwork> = Configuration::new(FILE.into(), conflist().text(&cidrs, &[], HERE))
            .pools()
            .into_iter()
            .map(|pool| pool.subnet)
            .collect();
        assert_eq!(read, cidrs);
        let below_bridge = r#"{"type":"bridge","ipam":{"type":"podlan-ipam","subnet":"10.9.0.0/24"}}"#;
        assert_eq!(Configuration::new("x".into(), below_bridge.into()).pools().len(), 1);
        for foreign in ["", "{", "[]", r#"{"type":"bridge","ipam":{"type":"host-local","subnet":"10.9.0.0/24"}}"#] {
            assert_eq!(Configuration::new("x".into(), foreign.into()).pools(), []);
        }
    }
}
