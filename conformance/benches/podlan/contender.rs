//! The programs that make a pod's link: podlan, a reference plugin with host-local, or the floor. All get the same
//! pods.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use serde_json::{Value, json};

use crate::Failure;
use crate::measure::{self, Cost};
use crate::tools::Tools;

/// The families of a pod's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// IPv4 alone, IPv6 alone, both.
pub(crate) const EACH: [Families; 3] =
    [Families { v4: true, v6: false }, Families { v4: false, v6: true }, Families { v4: true, v6: true }];

/// IPv4 alone.
pub(crate) const V4: Families = EACH[0];

impl Families {
    /// `v4`, `v6`, `dual`.
    pub(crate) fn name(self) -> &'static str {
        match (self.v4, self.v6) {
            (true, true) => "dual",
            (false, true) => "v6",
            _ => "v4",
        }
    }
}

/// The floor's label.
pub(crate) const FLOOR: &str = "floor";
/// The name of a contender whose program is measured a second time, beside itself: how far its two series differ is how
/// much the machine can tell.
pub(crate) fn again(label: &str) -> String {
    format!("{label} again")
}

/// podlan's.
pub(crate) const PODLAN: &str = "podlan";
/// The label of the peer that the bars name, with host-local as its IPAM.
pub(crate) const PEER: &str = "ptp (newest)";

/// The subnets of a node's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnets {
    /// Its IPv4 subnet.
    pub v4: Ipv4Network,
    /// Its IPv6 subnet.
    pub v6: Ipv6Network,
}

impl Subnets {
    /// The subnets of site `number`: a /16 for thousands of pods, and a /64.
    pub(crate) fn of(number: u8) -> Result<Self, Failure> {
        let v6 = Ipv6Addr::new(0xfd00, 0x200, u16::from(number), 0, 0, 0, 0, 0);
        Ok(Self { v4: Ipv4Network::new(Ipv4Addr::new(10, number, 0, 0), 16)?, v6: Ipv6Network::new(v6, 64)? })
    }

    fn ranges(&self, families: Families) -> Value {
        let v4 = families.v4.then(|| json!([{ "subnet": self.v4.to_string() }]));
        let v6 = families.v6.then(|| json!([{ "subnet": self.v6.to_string() }]));
        v4.into_iter().chain(v6).collect()
    }
}

/// One of the programs that are compared.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// As the tables name it.
    pub(crate) label: String,
    /// Waits for duplicate address detection, a second or two for each IPv6 address.
    pub(crate) slow: bool,
    /// Keeps a crowd beside the pod that is measured.
    pub(crate) crowded: bool,
    program: PathBuf,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// A CNI plugin, with its CNI_PATH and network configuration.
    Plugin { path: OsString, config: String },
    /// The program of floor.c.
    Floor { families: Families, subnets: Subnets },
}

/// The verbs that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// CNI ADD.
    Add,
    /// CNI DEL.
    Del,
}

/// All contenders, for pods of these families and subnets. The floor is there twice, where times are compared.
pub(crate) fn timed(tools: &Tools, families: Families, subnets: Subnets) -> Vec<Contender> {
    let mut all = all(tools, families, subnets);
    all.push(floor(again(FLOOR), &tools.floor_again, families, subnets));
    all
}

/// All contenders, each once.
pub(crate) fn all(tools: &Tools, families: Families, subnets: Subnets) -> Vec<Contender> {
    let mut all = vec![
        floor(FLOOR.to_owned(), &tools.floor, families, subnets),
        plugin(PODLAN, &tools.podlan, families, &podlan(families, subnets)),
    ];
    for (from, folder) in &tools.peers {
        for (name, config) in [("ptp", ptp(families, subnets)), ("bridge", bridge(families, subnets))] {
            all.push(plugin(&format!("{name} ({from})"), &folder.join(name), families, &config));
        }
    }
    all
}

fn floor(label: String, program: &Path, families: Families, subnets: Subnets) -> Contender {
    let how = How::Floor { families, subnets };
    Contender { label, slow: false, crowded: true, program: program.to_owned(), how }
}

fn plugin(label: &str, program: &Path, families: Families, config: &Value) -> Contender {
    let path = program.parent().unwrap_or(program).into();
    let how = How::Plugin { path, config: config.to_string() };
    let slow = families.v6 && label != PODLAN;
    let crowded = label == PODLAN;
    Contender { label: label.to_owned(), slow, crowded, program: program.to_owned(), how }
}

fn podlan(families: Families, subnets: Subnets) -> Value {
    json!({ "cniVersion": "1.0.0", "name": "podnet", "type": "podlan",
            "ipam": { "type": "podlan-ipam", "ranges": subnets.ranges(families) } })
}

fn host_local(families: Families, subnets: Subnets) -> Value {
    let v4 = families.v4.then(|| json!({ "dst": "0.0.0.0/0" }));
    let v6 = families.v6.then(|| json!({ "dst": "::/0" }));
    json!({ "type": "host-local", "ranges": subnets.ranges(families), "dataDir": "/run/host-local",
            "routes": v4.into_iter().chain(v6).collect::<Value>() })
}

fn ptp(families: Families, subnets: Subnets) -> Value {
    json!({ "cniVersion": "1.0.0", "name": "ptpnet", "type": "ptp", "ipam": host_local(families, subnets) })
}

fn bridge(families: Families, subnets: Subnets) -> Value {
    json!({ "cniVersion": "1.0.0", "name": "bridgenet", "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": host_local(families, subnets) })
}

impl Contender {
    /// Times one call for pod `number`, whose network namespace is at `netns`.
    pub(crate) fn call(&self, verb: Verb, number: usize, netns: &Path) -> Result<Cost, Failure> {
        let (mut command, stdin) = self.command(verb, number, netns);
        measure::run(&mut command, stdin.as_bytes())
    }

    /// The link on the node and the addresses of pod `number`, from the output of its ADD.
    pub(crate) fn made(&self, number: usize, said: &str) -> Result<(String, Vec<IpAddr>), Failure> {
        match &self.how {
            How::Floor { families, subnets } => {
                Ok((Self::floor_link(number), Self::floor_ips(*families, *subnets, number)))
            }
            How::Plugin { .. } => {
                let result: Value = serde_json::from_str(said)?;
                let of_node = |interface: &&Value| interface["sandbox"].as_str().unwrap_or_default().is_empty();
                // The bridge is listed before the link that leads to the pod.
                let link = result["interfaces"].as_array().into_iter().flatten().rfind(of_node);
                let link = link.and_then(|link| link["name"].as_str()).ok_or("the result has no link of the node")?;
                let ips = result["ips"].as_array().into_iter().flatten().filter_map(|ip| ip["address"].as_str());
                let ips = ips.map(|ip| Ok(ip.parse::<IpNetwork>()?.ip())).collect::<Result<_, Failure>>()?;
                Ok((link.to_owned(), ips))
            }
        }
    }

    fn floor_link(number: usize) -> String {
        format!("floor{number}")
    }

    /// Numbered like leases: without the subnet's own address and its first one, the gateway's.
    fn floor_ips(families: Families, subnets: Subnets, number: usize) -> Vec<IpAddr> {
        let nth = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(2);
        let v4 = IpAddr::V4(Ipv4Addr::from_bits(subnets.v4.network().to_bits() + nth));
        let v6 = IpAddr::V6(Ipv6Addr::from_bits(subnets.v6.network().to_bits() + u128::from(nth)));
        families.v4.then_some(v4).into_iter().chain(families.v6.then_some(v6)).collect()
    }

    /// The call as a command, and its stdin.
    pub(crate) fn command(&self, verb: Verb, number: usize, netns: &Path) -> (Command, &str) {
        let mut command = Command::new(&self.program);
        match &self.how {
            How::Plugin { path, config } => {
                let verb = if verb == Verb::Add { "ADD" } else { "DEL" };
                command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", format!("{number:064x}"));
                command.env("CNI_NETNS", netns).env("CNI_IFNAME", "eth0").env("CNI_PATH", path);
                (command, config)
            }
            How::Floor { families, subnets } => {
                let host = Self::floor_link(number);
                match verb {
                    Verb::Del => command.env_clear().arg("del").arg(host),
                    Verb::Add => command.env_clear().arg("add").arg(netns).arg(host),
                };
                let ips = if verb == Verb::Add { Self::floor_ips(*families, *subnets, number) } else { Vec::new() };
                for ip in ips {
                    command.arg(if ip.is_ipv4() { "v4" } else { "v6" }).arg(ip.to_string());
                }
                (command, "")
            }
        }
    }
}
