//! A container runtime as libcni is one: at each call it reads the list that lies in the node's directory *then*, executes the
//! plugins that are installed *then*, and remembers of an ADD the result and what the pod asked for.

use std::fs;
use std::path::{Path, PathBuf};

use podlan_conformance::lab::{Added, Command, Error, Node, Pod, added, skip};
use serde_json::{Value, json};

use crate::build::Build;

/// The node's directories of plugins and of configuration.
pub(crate) const BIN: &str = "/run/bin";
pub(crate) const CONF: &str = "/run/net.d";
const LIST: &str = "/run/net.d/10-podlan.conflist";

/// The directories of the reference plugins: Debian, the upstream archive, Fedora.
const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// The reference plugin portmap; `None`, reported, where there is none. `PODLAN_PORTMAP` names another one.
pub(crate) fn portmap() -> Option<PathBuf> {
    let named = std::env::var_os("PODLAN_PORTMAP").map(PathBuf::from);
    let found = named.into_iter().chain(PLUGIN_DIRECTORIES.map(|folder| Path::new(folder).join("portmap")));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        skip("missing the reference plugin portmap: apt-get install containernetworking-plugins iptables");
    }
    found
}

/// Makes the node's directories, with portmap in that of the plugins, as a node has them before podlan.
pub(crate) fn prepare(node: &Node, portmap: &Path) -> Result<(), Error> {
    let made = || -> std::io::Result<()> {
        fs::create_dir_all(node.path(BIN))?;
        fs::create_dir_all(node.path(CONF))?;
        fs::copy(portmap, node.path(BIN).join("portmap")).map(drop)
    };
    made().map_err(Error::system("make the node's directories"))
}

/// Installs the plugins of a build, as its agent does first.
pub(crate) fn install(node: &Node, build: &Build) -> Result<(), Error> {
    for plugin in ["podlan", "podlan-ipam"] {
        let (new, to) = (node.path(BIN).join("new"), node.path(BIN).join(plugin));
        let copied = fs::copy(build.path(plugin), &new).and_then(|_| fs::rename(&new, to));
        copied.map_err(Error::system(format!("install {plugin}")))?;
    }
    Ok(())
}

/// The list that is there now; null where there is none.
pub(crate) fn list(node: &Node) -> Value {
    let text = fs::read_to_string(node.path(LIST)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// The plugins of the list, by name.
pub(crate) fn chain(node: &Node) -> Vec<String> {
    let plugins = list(node)["plugins"].as_array().cloned().unwrap_or_default();
    plugins.iter().filter_map(|plugin| Some(plugin["type"].as_str()?.to_owned())).collect()
}

/// The highest version that a list offers.
fn version(list: &Value) -> String {
    let offered = list["cniVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    offered.chain(list["cniVersion"].as_str()).max().unwrap_or("1.0.0").to_owned()
}

/// An attachment, as the runtime remembers it.
pub(crate) struct Attached<'node> {
    pub(crate) pod: Pod<'node>,
    pub(crate) added: Added,
    /// `portMappings` of the pod; null for a pod without host ports.
    ports: Value,
}

/// One plugin of a list, with everything that libcni puts into its configuration.
fn configuration(list: &Value, plugin: &Value, ports: &Value, result: Option<&Value>) -> Value {
    let mut config = plugin.clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = version(list).into();
    if config["capabilities"]["portMappings"] == true && !ports.is_null() {
        config["runtimeConfig"] = json!({ "portMappings": ports });
    }
    if let Some(result) = result {
        config["prevResult"] = result.clone();
        config["prevResult"]["cniVersion"] = version(list).into();
    }
    config
}

/// The installed plugin that a configuration is for.
fn plugin(node: &Node, verb: &str, config: &Value) -> Command {
    let command = node.command(Path::new(BIN).join(config["type"].as_str().unwrap_or_default()));
    command.env("CNI_COMMAND", verb).env("CNI_PATH", BIN).stdin(config.to_string())
}

fn call(pod: &Pod<'_>, verb: &str, config: &Value) -> Result<String, Error> {
    let command = plugin(pod.node(), verb, config)
        .env("CNI_CONTAINERID", pod.name())
        .env("CNI_NETNS", pod.netns())
        .env("CNI_IFNAME", "eth0")
        .env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={}", pod.name()));
    command.succeeds()
}

/// GC of the whole list: these attachments are valid, and no others.
pub(crate) fn gc(node: &Node, valid: &[&Attached<'_>]) -> Result<(), Error> {
    let list = list(node);
    let valid: Vec<Value> =
        valid.iter().map(|one| json!({ "containerID": one.pod.name(), "ifname": "eth0" })).collect();
    for of_list in plugins(&list) {
        let mut config = configuration(&list, &of_list, &Value::Null, None);
        config["cni.dev/valid-attachments"] = valid.clone().into();
        plugin(node, "GC", &config).succeeds()?;
    }
    Ok(())
}

fn plugins(list: &Value) -> Vec<Value> {
    list["plugins"].as_array().cloned().unwrap_or_default()
}

/// ADD of the whole list.
pub(crate) fn add<'node>(pod: Pod<'node>, ports: Value) -> Result<Attached<'node>, Error> {
    let list = list(pod.node());
    let mut result = None;
    for plugin in plugins(&list) {
        let said = call(&pod, "ADD", &configuration(&list, &plugin, &ports, result.as_ref()))?;
        result = Some(added(&said)?.result);
    }
    let added = added(&result.unwrap_or_default().to_string())?;
    Ok(Attached { pod, added, ports })
}

impl<'node> Attached<'node> {
    /// CHECK of podlan: Debian's portmap fails CHECK of any pod with two families, whatever made it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let list = list(self.pod.node());
        for plugin in plugins(&list).iter().filter(|plugin| plugin["type"] == "podlan") {
            call(&self.pod, "CHECK", &configuration(&list, plugin, &self.ports, Some(&self.added.result)))?;
        }
        Ok(())
    }

    /// DEL of the whole list from its end, twice, as runtimes do; then the namespace goes.
    pub(crate) fn del(self) -> Result<(), Error> {
        let list = list(self.pod.node());
        for _ in 0..2 {
            for plugin in plugins(&list).iter().rev() {
                call(&self.pod, "DEL", &configuration(&list, plugin, &self.ports, Some(&self.added.result)))?;
            }
        }
        self.pod.remove()
    }
}
