//! The machine whose settings a pod inherits, and its pods, added by a runtime on that machine.

use std::net::IpAddr;

use netlink::{Address, Link, Request, Socket};
use nix::net::if_::if_nametoindex;
use podlan_conformance::lab::{Added, Command, Complaint, Error, Node, Place, Pod, added, binaries};
use serde_json::{Value, json};

use super::settings::Case;

/// A machine: a node of the lab or, because hundreds are needed, a network namespace on one.
pub(crate) enum Machine<'lab> {
    Node(&'lab Node),
    Namespace { node: &'lab Node, namespace: Pod<'lab>, ips: Vec<IpAddr> },
}

impl<'lab> Machine<'lab> {
    /// A machine with one setting, and its addresses: none of a family that the setting switches off.
    pub(crate) fn new(node: &'lab Node, number: usize, case: &Case) -> Result<Self, Error> {
        let namespace = node.pod(&format!("machine{number}"))?;
        case.set(namespace.place(), &["all", "default"])?;
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let [high, low] = number.to_be_bytes();
        let mut ips = vec![IpAddr::from([172, 30, high, low]), IpAddr::from([0xfd30, 0, 0, 0, 0, 0, 0, number])];
        let given = namespace.place().enter(|| -> Result<Vec<bool>, String> {
            let device = if_nametoindex("lo").map_err(|error| error.to_string())?;
            let address = |ip: &IpAddr| Address { address: (*ip).into(), device, link_scope: false }.add();
            let mut requests: Vec<Request> = std::iter::once(Link::up(device)).chain(ips.iter().map(address)).collect();
            let mut socket = Socket::open().map_err(|error| error.to_string())?;
            let verdicts = socket.request(&mut requests).map_err(|error| error.to_string())?;
            Ok(verdicts.iter().skip(1).map(Result::is_ok).collect())
        })?;
        let given = given.map_err(|said| Error::Unreadable { from: "the kernel".into(), said })?;
        ips.retain(|ip| ip.is_ipv4() || given[1]);
        assert!(given[0] && (given[1] || case.name == "disable_ipv6"), "{case}: {given:?}");
        Ok(Self::Namespace { node, namespace, ips })
    }

    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Node(node) => node.place(),
            Self::Namespace { namespace, .. } => namespace.place(),
        }
    }

    pub(crate) fn ips(&self) -> Vec<IpAddr> {
        match self {
            Self::Node(node) => node.ips(),
            Self::Namespace { ips, .. } => ips.clone(),
        }
    }

    /// A pod's network namespace.
    pub(crate) fn pod(&self, name: &str) -> Result<Pod<'lab>, Error> {
        match self {
            Self::Node(node) | Self::Namespace { node, .. } => node.pod(name),
        }
    }

    fn command(&self, program: std::path::PathBuf) -> Command {
        match self {
            Self::Node(node) => node.command(program),
            Self::Namespace { namespace, .. } => namespace.command(program),
        }
    }

    /// ADD of a pod: the plugin's result or its error.
    pub(crate) fn add(&self, pod: &Pod<'_>) -> Result<Result<Added, Complaint>, Error> {
        let output = self.cni("ADD", pod, &config())?.run()?;
        if output.success() { added(&output.stdout).map(Ok) } else { output.complaint().map(Err) }
    }

    /// CHECK of a pod.
    pub(crate) fn check(&self, pod: &Pod<'_>, added: &Added) -> Result<(), Error> {
        let mut config = config();
        config["prevResult"] = added.result.clone();
        self.cni("CHECK", pod, &config)?.succeeds().map(drop)
    }

    fn cni(&self, verb: &str, pod: &Pod<'_>, config: &Value) -> Result<Command, Error> {
        let command = self.command(binaries::find("podlan")?).stdin(config.to_string());
        let command = command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", pod.name()).env("CNI_IFNAME", "eth0");
        Ok(command.env("CNI_NETNS", pod.netns()).env("CNI_PATH", "/opt/cni/bin"))
    }
}

/// One network for all machines, with room for each of their pods.
fn config() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "podnet", "type": "podlan", "mtu": 1500,
        "ipam": { "type": "podlan-ipam", "ranges": [[{ "subnet": "10.200.0.0/16" }], [{ "subnet": "fd00:10:200::/64" }]] },
    })
}
