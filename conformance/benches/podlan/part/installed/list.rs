//! The lists of plugins that default installs leave on a node, and the nodes where they are called.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnetwork::IpNetwork;
use podlan_conformance::lab::{Node, Running, eventually};
use serde_json::{Value, json};

use super::runtime::{Call, Runtime, Took};
use crate::Failure;
use crate::contender::{FLOOR, Families, PODLAN, Verb, again};
use crate::tools::Tools;

/// For the agent to be ready on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// The folders of a node.
const PLUGINS: &str = "/run/bin";
const CONFIGURATIONS: &str = "/run/net.d";

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// deploy/kubernetes/podlan.yaml, which chains nothing.
    Podlan,
    /// The same with the reference portmap chained, as before podlan had host ports.
    Chained,
    /// floor.c, as a plugin.
    Floor,
    /// A copy of it.
    FloorAgain,
    /// kindnet, by its own plugin.
    Kindnet,
    /// The kindnet that kind brings: ptp, host-local, portmap.
    KindsKindnet,
    /// flannel, which calls bridge with host-local, then portmap.
    Flannel,
}

/// A contender.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    what: What,
    label: String,
    /// Linked into the node's folder of plugins.
    programs: Vec<PathBuf>,
}

impl Kind {
    /// Those whose programs are there.
    pub(super) fn all(tools: &Tools) -> Vec<Self> {
        let reference = |names: &[&str]| -> Option<Vec<PathBuf>> {
            let folder = tools.reference()?;
            Some(names.iter().map(|name| folder.join(name)).collect())
        };
        let and = |more: Option<&PathBuf>, names: &[&str]| Some([vec![more?.clone()], reference(names)?].concat());
        let peer = |name: &str| tools.built.iter().find(|(built, _, _)| built == name);
        let version = |name: &str| peer(name).map_or("", |(_, version, _)| version);
        let program = |name: &str| peer(name).map(|(_, _, path)| path);
        let all = [
            (What::Podlan, PODLAN.to_owned(), Some(Vec::new())),
            (What::Floor, FLOOR.to_owned(), Some(vec![tools.floor.clone()])),
            (What::FloorAgain, again(FLOOR), Some(vec![tools.floor_again.clone()])),
            (What::Chained, "podlan, portmap chained".to_owned(), reference(&["portmap"])),
            (What::KindsKindnet, "kindnet of kind".to_owned(), reference(&["ptp", "host-local", "portmap"])),
            (
                What::Kindnet,
                format!("kindnet {}", version("cni-kindnet")),
                program("cni-kindnet").map(|path| vec![path.clone()]),
            ),
            (
                What::Flannel,
                format!("flannel {}", version("flannel")),
                and(program("flannel"), &["bridge", "host-local", "portmap"]),
            ),
        ];
        all.into_iter().filter_map(|(what, label, programs)| Some(Self { what, label, programs: programs? })).collect()
    }

    /// As the tables name it.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The floor has none.
    pub(super) fn has_host_ports(&self) -> bool {
        !self.is_floor()
    }

    fn is_floor(&self) -> bool {
        matches!(self.what, What::Floor | What::FloorAgain)
    }

    /// Waits for duplicate address detection.
    pub(super) fn is_slow(&self, families: Families) -> bool {
        self.what == What::KindsKindnet && families.v6
    }

    /// The list, as its install writes it; podlan's is the agent's to write.
    fn conflist(&self, cidrs: &[IpNetwork]) -> Value {
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let each = |of: &dyn Fn(&IpNetwork) -> Value| cidrs.iter().map(of).collect::<Value>();
        match self.what {
            What::Podlan | What::Chained => Value::Null,
            What::Floor | What::FloorAgain => {
                let name = if self.what == What::Floor { "floor" } else { "floor-again" };
                json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{ "type": name }] })
            }
            What::Kindnet => json!({ "cniVersion": "0.4.0", "name": "kindnet", "plugins": [
                { "type": "cni-kindnet", "ranges": each(&|cidr| json!(cidr.to_string())),
                  "capabilities": { "portMappings": true } },
            ]}),
            What::KindsKindnet => json!({ "cniVersion": "0.3.1", "name": "kindnet", "plugins": [
                { "type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {
                    "type": "host-local", "dataDir": "/run/cni-ipam-state",
                    "routes": each(&|cidr| json!({ "dst": if cidr.is_ipv4() { "0.0.0.0/0" } else { "::/0" } })),
                    "ranges": each(&|cidr| json!([{ "subnet": cidr.to_string() }])),
                }},
                portmap,
            ]}),
            What::Flannel => json!({ "cniVersion": "0.3.1", "name": "cbr0", "plugins": [
                { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
                portmap,
            ]}),
        }
    }
}

/// What flanneld writes for its plugin.
fn subnet_env(cidrs: &[IpNetwork]) -> String {
    let line = |cidr: &IpNetwork| match cidr {
        IpNetwork::V4(v4) => {
            format!("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET={}/24\n", first(v4.network().into()))
        }
        IpNetwork::V6(v6) => {
            format!("FLANNEL_IPV6_NETWORK=fd00:10:244::/48\nFLANNEL_IPV6_SUBNET={}/64\n", first(v6.network().into()))
        }
    };
    cidrs.iter().map(line).collect::<String>() + "FLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n"
}

/// The address after this one.
fn first(network: std::net::IpAddr) -> std::net::IpAddr {
    match network {
        std::net::IpAddr::V4(v4) => std::net::Ipv4Addr::from_bits(v4.to_bits() + 1).into(),
        std::net::IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() + 1).into(),
    }
}

/// A contender, installed on its node.
pub(super) struct Stand<'a> {
    kind: &'a Kind,
    node: &'a Node,
    runtime: Runtime,
    /// Kept running.
    _agent: Option<Running>,
}

impl<'a> Stand<'a> {
    /// Installs it.
    pub(super) fn new(
        kind: &'a Kind,
        node: &'a Node,
        families: Families,
        tools: &Tools,
        lists: &Path,
    ) -> Result<Self, Failure> {
        let (plugins, configurations) = (node.path(PLUGINS), node.path(CONFIGURATIONS));
        fs::create_dir_all(&plugins)?;
        fs::create_dir_all(&configurations)?;
        for program in &kind.programs {
            symlink(program, plugins.join(program.file_name().unwrap_or_default()))?;
        }
        let cidrs = node.pod_cidrs().into_iter().filter(|cidr| if cidr.is_ipv4() { families.v4 } else { families.v6 });
        let cidrs: Vec<IpNetwork> = cidrs.collect();
        let mut agent = None;
        let conflist = match kind.what {
            What::Podlan | What::Chained => {
                let chain: &[&str] = if kind.what == What::Chained { &["--chain", "portmap"] } else { &[] };
                agent = Some(start(node, families, tools, chain)?);
                "10-podlan.conflist"
            }
            _ => {
                fs::write(configurations.join("10.conflist"), kind.conflist(&cidrs).to_string())?;
                "10.conflist"
            }
        };
        if kind.what == What::Flannel {
            fs::create_dir_all(node.path("/run/flannel"))?;
            fs::write(node.path("/run/flannel/subnet.env"), subnet_env(&cidrs))?;
        }
        if kind.what == What::Kindnet {
            // It expects a node that forwards. Its database lies where no configuration moves it.
            node.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; rm -rf /var/lib/cni-kindnet")?;
        }
        let conflist = Path::new(CONFIGURATIONS).join(conflist);
        let runtime = Runtime::start(lists, node, &conflist, Path::new(PLUGINS))?;
        Ok(Self { kind, node, runtime, _agent: agent })
    }

    /// The contender.
    pub(super) fn kind(&self) -> &'a Kind {
        self.kind
    }

    /// Its node.
    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    /// One call, which must succeed.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<Took, Failure> {
        // The floor leases no address: it is given one.
        let mut given = Vec::new();
        if self.kind.is_floor() && call.verb == Verb::Add {
            for cidr in self.node.pod_cidrs() {
                match cidr {
                    IpNetwork::V4(v4) if call.families.v4 => given.push(("V4", first(v4.network().into()).to_string())),
                    IpNetwork::V6(v6) if call.families.v6 => given.push(("V6", first(v6.network().into()).to_string())),
                    _ => {}
                }
            }
        }
        self.runtime.call(call, &given)
    }
}

/// The agent with the arguments of deploy/kubernetes, but for the source of nodes; its list is written.
fn start(node: &Node, families: Families, tools: &Tools, chain: &[&str]) -> Result<Running, Failure> {
    let mut list = node.as_kubernetes();
    let cidrs: Vec<String> = node
        .pod_cidrs()
        .iter()
        .filter(|cidr| if cidr.is_ipv4() { families.v4 } else { families.v6 })
        .map(ToString::to_string)
        .collect();
    list["spec"] = json!({ "podCIDR": cidrs.first(), "podCIDRs": cidrs });
    let nodes = node.path("/run/nodes.json");
    fs::write(&nodes, json!({ "apiVersion": "v1", "kind": "NodeList", "items": [list] }).to_string())?;
    let program = tools.podlan.with_file_name("podlan-node");
    let agent = node
        .command(program)
        .args(["run", "--node-name", node.name(), "--nodes", "/run/nodes.json", "--masquerade", "--log-level", "warn"])
        .args(["--cni-bin-dir", PLUGINS, "--cni-conf-dir", CONFIGURATIONS, "--listen", "127.0.0.1:10110"])
        .args(chain)
        .spawn()?;
    let written = node.path(CONFIGURATIONS).join("10-podlan.conflist");
    eventually(SOON, "the agent writes its list", || if written.exists() { Ok(()) } else { Err(agent.stderr()) })?;
    Ok(agent)
}
