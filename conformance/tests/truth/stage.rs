//! The lab of a row: two nodes with agents, pods on both, and the packets between them.
//!
//! ```text
//!   node1 (the node that is asked) ──┬── node2 (its peer)   [── node3]
//!     ├── web                       lan    └── far
//!     └── side
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use podlan_conformance::agent::{METRICS, installed};
use podlan_conformance::lab::{Added, Error, Lab, Node, Output, Place, Pod, Running, binaries, eventually};
use podlan_conformance::traffic::{Answer, Protocol, Target};
use serde_json::{Value, json};

use crate::row::At;

/// How long a process that was killed may take to end.
const ENDS: Duration = Duration::from_secs(30);

/// For facts that have no bound of their own.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The folder of NetworkManager's programs, as `scripts/beside NetworkManager` prints it; `PODLAN_` and this is the variable.
pub(crate) const NETWORK_MANAGER: &str = "NETWORK_MANAGER";

/// How the lab of a row differs from the plain one.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The number of nodes.
    pub(crate) nodes: u8,
    /// More arguments of the node's agent.
    pub(crate) agent: &'static [&'static str],
    /// Run on the node before its agent starts.
    pub(crate) before: &'static str,
    /// The node's IPv4 pod CIDR, where it is not its own /24.
    pub(crate) cidr: &'static str,
    /// Who writes the network configuration.
    pub(crate) conflist: Conflist,
}

/// Who writes the node's network configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflist {
    /// The agent.
    Agent,
    /// Somebody else, at the default place: the agent installs nothing.
    ByHand,
    /// Somebody else, who chose another gateway than the first address of the range.
    Gateway,
}

impl Options {
    pub(crate) const PLAIN: Self = Self { nodes: 2, agent: &[], before: "", cidr: "", conflist: Conflist::Agent };
    /// What another program switches off stays off.
    pub(crate) const NOT_KEPT: Self = Self { agent: &["--no-keep-forwarding"], ..Self::PLAIN };
}

/// A way that packets go, by family 4 or 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way(pub(crate) End, pub(crate) End, pub(crate) u8);

/// An end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A pod of the node.
    Web,
    /// Another pod of the node.
    Side,
    /// A pod of the peer.
    Far,
    /// The node itself.
    Node,
}

use End::{Far, Side, Web};

/// From the node's pod to its peer's.
pub(crate) const OUT: &[Way] = &[Way(Web, Far, 4)];
/// The same, both families.
pub(crate) const OUT_46: &[Way] = &[Way(Web, Far, 4), Way(Web, Far, 6)];
/// From the peer's pod to the node's.
pub(crate) const IN: &[Way] = &[Way(Far, Web, 4)];
/// From the node to its own pod.
pub(crate) const FROM_NODE: &[Way] = &[Way(End::Node, Web, 4)];
/// Every way that a healthy lab has.
const EVERY: &[Way] = &[
    Way(Web, Far, 4),
    Way(Web, Far, 6),
    Way(Far, Web, 4),
    Way(Far, Web, 6),
    Way(Web, Side, 4),
    Way(Side, Far, 4),
    Way(End::Node, Web, 4),
    Way(End::Node, Far, 4),
];

/// The lab of a row, up and well.
pub(crate) struct Stage<'lab> {
    pub(crate) node: &'lab Node,
    agent: Mutex<Running>,
    arguments: Vec<String>,
    web: (Pod<'lab>, Added),
    side: (Pod<'lab>, Added),
    far: (Pod<'lab>, Added),
    _others: Vec<Running>,
}

impl<'lab> Stage<'lab> {
    /// Starts agents and pods, and waits until all is well.
    pub(crate) fn start(lab: &'lab Lab, options: &Options) -> Result<Self, Error> {
        let [node, peer] = [&lab.nodes()[0], &lab.nodes()[1]];
        list(lab, options)?;
        node.shell("mkdir -p /run/net.d /run/bin")?;
        if options.conflist != Conflist::Agent {
            node.shell(DEFAULTS)?;
        }
        node.shell(options.before)?;
        let mut others = lab.nodes().iter().skip(1).map(|other| other.agent(&[])).collect::<Result<Vec<_>, _>>()?;
        let arguments = arguments(options);
        let agent = run_agent(node, &arguments)?;
        let config = match options.conflist {
            Conflist::Agent => installed(node)?,
            Conflist::ByHand | Conflist::Gateway => by_hand(node, options)?,
        };
        let add = |node: &'lab Node, name: &str, config: &Value| -> Result<(Pod<'lab>, Added), Error> {
            let pod = node.pod(name)?;
            let added = pod.add(config)?;
            Ok((pod, added))
        };
        let [web, side] = [add(node, "web", &config)?, add(node, "side", &config)?];
        let far = add(peer, "far", &peer.podnet())?;
        for (pod, _) in [&web, &side, &far] {
            others.push(pod.serve()?);
        }
        let stage = Self { node, agent: Mutex::new(agent), arguments, web, side, far, _others: others };
        stage.all_pass()?;
        stage.is_probed()?;
        Ok(stage)
    }

    fn agent(&self) -> MutexGuard<'_, Running> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's log so far.
    pub(crate) fn log(&self) -> String {
        self.agent().stderr()
    }

    /// What the agent logged after it had logged this much.
    pub(crate) fn log_after(&self, length: usize) -> String {
        self.log().get(length..).unwrap_or_default().to_owned()
    }

    /// Starts the agent again where it has ended. One that was killed has left its lock a moment before it has ended.
    pub(crate) fn revive(&self) -> Result<(), Error> {
        let mut agent = self.agent();
        let lock = self.node.command("flock").args(["--nonblock", "/run/podlan/node.lock", "true"]);
        if !agent.is_running() || lock.run()?.success() {
            eventually(ENDS, "the agent ends", || if agent.is_running() { Err("it runs".into()) } else { Ok(()) })?;
            *agent = run_agent(self.node, &self.arguments)?;
        }
        Ok(())
    }

    /// The agent's process.
    fn pid(&self) -> u32 {
        self.agent().id()
    }

    /// The names in scripts and in what conditions must name.
    pub(crate) fn variables(&self) -> BTreeMap<&'static str, String> {
        let [web, side, far] = [&self.web.1, &self.side.1, &self.far.1];
        let address = |added: &Added, v6| {
            let of_family = |ip: &IpAddr| ip.is_ipv6() == v6;
            added.ips().into_iter().find(of_family).map(|ip| ip.to_string()).unwrap_or_default()
        };
        let link = |added: &Added| {
            let links = added.result["interfaces"].as_array();
            let host = links.into_iter().flatten().find(|link| link["sandbox"].as_str().unwrap_or_default().is_empty());
            host.and_then(|link| link["name"].as_str()).unwrap_or_default().to_owned()
        };
        BTreeMap::from([
            ("POD", address(web, false)),
            ("POD6", address(web, true)),
            ("SIDE", address(side, false)),
            ("FAR", address(far, false)),
            ("FAR6", address(far, true)),
            ("LINK", link(web)),
            ("SIDE_LINK", link(side)),
            ("FAR_LINK", link(far)),
            ("AGENT", self.pid().to_string()),
            ("RULES", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth/rules").to_owned()),
            (NETWORK_MANAGER, std::env::var(format!("PODLAN_{NETWORK_MANAGER}")).unwrap_or_default()),
            ("PLUGINS", binaries::folder().map(|folder| folder.display().to_string()).unwrap_or_default()),
        ])
    }

    /// Runs a script, which must succeed. Returns the last line that it printed.
    pub(crate) fn script(&self, at: At, script: &str, id: &str) -> Result<String, Error> {
        let output = self.run(at, script, id)?;
        match output.success() {
            true => Ok(output.stdout.lines().last().unwrap_or_default().trim().to_owned()),
            false => Err(output.but("the script should have succeeded")),
        }
    }

    /// Runs a script.
    pub(crate) fn run(&self, at: At, script: &str, id: &str) -> Result<Output, Error> {
        let here = Place::lab()?;
        let place = match at {
            At::Node => self.node.place(),
            At::Peer => self.far.0.node().place(),
            At::Pod => self.web.0.place(),
            At::Lan => &here,
        };
        let command = podlan_conformance::lab::Command::new(place.clone(), "sh").args(["-ec", script]).env("ID", id);
        let path = std::env::var("PATH").unwrap_or_default();
        let command = command.env("PATH", format!("{}:{path}", binaries::folder()?.display()));
        self.variables().into_iter().fold(command, |command, (name, value)| command.env(name, value)).run()
    }

    /// A text with the variables' values in it.
    pub(crate) fn resolve(&self, text: &str, id: &str) -> String {
        let mut variables: Vec<_> = self.variables().into_iter().chain([("ID", id.to_owned())]).collect();
        variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }

    fn end(&self, end: End) -> (&Place, Vec<IpAddr>) {
        match end {
            End::Web => (self.web.0.place(), self.web.1.ips()),
            End::Side => (self.side.0.place(), self.side.1.ips()),
            End::Far => (self.far.0.place(), self.far.1.ips()),
            End::Node => (self.node.place(), self.node.ips()),
        }
    }

    /// Whether packets go this way and carry the sender's own address; otherwise what happened.
    pub(crate) fn passes(&self, Way(from, to, family): Way) -> Result<(), String> {
        let ((place, own), (_, there)) = (self.end(from), self.end(to));
        let address = there.into_iter().find(|ip| ip.is_ipv6() == (family == 6)).ok_or("no address")?;
        let said = place.ask(&[Target { protocol: Protocol::Udp, address }]).map_err(|error| error.to_string())?;
        match &said[0].answer {
            Answer::Saw(seen) if own.contains(seen) => Ok(()),
            Answer::Saw(seen) => Err(format!("{from:?} to {to:?}, IPv{family}: seen as {seen}")),
            Answer::Silent(why) => Err(format!("{from:?} to {to:?}, IPv{family}: {why}")),
        }
    }

    /// Waits until the probes have judged the path to the peer: what was never heard of is not lost. A node without
    /// pods is not probed.
    fn is_probed(&self) -> Result<(), Error> {
        eventually(SOON, "the path to the peer is probed and open", || {
            let paths = self.state()?["paths"].clone();
            let open = |family: &str| paths["counts"][family]["open"].as_u64().is_some_and(|open| open > 0);
            if ["ipv4", "ipv6"].into_iter().all(open) { Ok(()) } else { Err(paths.to_string()) }
        })
    }

    /// node.json, as the node itself sees it: a mount may be there.
    pub(crate) fn state(&self) -> Result<Value, String> {
        let read = self.node.place().enter(|| fs::read_to_string("/run/podlan/node.json"));
        let text = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Waits until packets pass on every way.
    pub(crate) fn all_pass(&self) -> Result<(), Error> {
        let ways = EVERY.iter();
        eventually(SOON, "packets pass on every way, at the sender's own address", || {
            ways.clone().try_for_each(|way| self.passes(*way))
        })
    }
}

fn arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec!["--listen".to_owned(), METRICS.to_string()];
    if options.conflist == Conflist::Agent {
        arguments.extend(["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"].map(str::to_owned));
    }
    arguments.extend(options.agent.iter().map(|one| (*one).to_owned()));
    arguments
}

fn run_agent(node: &Node, arguments: &[String]) -> Result<Running, Error> {
    node.agent(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Shows the node's own folders at the runtime's default places.
const DEFAULTS: &str = "for folder in etc opt; do
  mkdir -p /run/own/$folder /run/work/$folder
  mount -t overlay overlay -o userxattr,lowerdir=/$folder,upperdir=/run/own/$folder,workdir=/run/work/$folder /$folder
done
mkdir -p /etc/cni /opt/cni
rm -rf /etc/cni/net.d /opt/cni/bin
ln -s /run/net.d /etc/cni/net.d
ln -s /run/bin /opt/cni/bin";

/// Writes the nodes file, with the node's CIDR as the row has it.
fn list(lab: &Lab, options: &Options) -> Result<(), Error> {
    let mut items: Vec<Value> = lab.nodes().iter().map(Node::as_kubernetes).collect();
    if !options.cidr.is_empty() {
        let v6 = items[0]["spec"]["podCIDRs"][1].clone();
        items[0]["spec"] = json!({ "podCIDR": options.cidr, "podCIDRs": [options.cidr, v6] });
    }
    lab.write_nodes(&json!({ "apiVersion": "v1", "kind": "NodeList", "items": items }).to_string())
}

/// A network configuration that an operator wrote, with the plugins beside it.
fn by_hand(node: &Node, options: &Options) -> Result<Value, Error> {
    let mut config = node.podnet();
    if !options.cidr.is_empty() {
        config["ipam"]["ranges"][0][0]["subnet"] = json!(options.cidr);
    }
    if options.conflist == Conflist::Gateway {
        config["ipam"]["ranges"][0][0]["gateway"] = json!("10.244.1.254");
    }
    let list = json!({ "cniVersion": "1.0.0", "name": config["name"], "plugins": [config] });
    let written = fs::write(node.path("/run/net.d/10-mine.conflist"), list.to_string());
    written.map_err(Error::system("write the conflist"))?;
    node.shell(&format!("cp {}/podlan /run/bin/", binaries::folder()?.display()))?;
    Ok(config)
}
