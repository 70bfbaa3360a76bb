//! The state of a network namespace as lines of text: to compare before and after, and to show when something fails.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::kernel::Kernel;
use super::{Error, Place};

/// The links, addresses, routes of every table, permanent neighbours and rules of a network namespace, one a line and
/// sorted. Links are written by name, so that snapshots are equal when they look equal. The kernel's own routes of the
/// local table are left out: they follow from the addresses, and from whether the namespace forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: Vec<String>,
}

impl Snapshot {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// When the place cannot be entered or the kernel refuses a dump.
    pub fn of(place: &Place) -> Result<Self, Error> {
        place
            .enter(|| dump(&Kernel::here()?))?
            .map(|lines| Self { lines })
            .map_err(|errno| Error::Kernel { doing: format!("look at {}", place.name()), errno })
    }

    /// The lines that hold every one of `words`, in order of the snapshot.
    #[must_use]
    pub fn lines(&self, words: &[&str]) -> Vec<&str> {
        let holds = |line: &&str| words.iter().all(|word| line.split(' ').any(|own| own == *word));
        self.lines.iter().map(String::as_str).filter(holds).collect()
    }

    /// The lines that are here and not in `before`, and the reverse, as a diff; empty when both are equal.
    #[must_use]
    pub fn since(&self, before: &Self) -> String {
        let only = |these: &Self, those: &Self, sign: &str| -> Vec<String> {
            these.lines.iter().filter(|line| !those.lines.contains(line)).map(|line| format!("{sign} {line}")).collect()
        };
        [only(before, self, "-"), only(self, before, "+")].concat().join("\n")
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn dump(kernel: &Kernel) -> Result<Vec<String>, Errno> {
    let mut names = BTreeMap::new();
    let mut lines = Vec::new();
    for message in kernel.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(message) = message {
            let (name, line) = link(&message);
            names.insert(message.header.index, name);
            lines.push(line);
        }
    }
    let questions = [
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        RouteNetlinkMessage::GetRoute(RouteMessage::default()),
        RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        RouteNetlinkMessage::GetRule(RuleMessage::default()),
    ];
    for question in questions {
        let answers = kernel.dump(question)?;
        lines.extend(answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => address(&message, &names),
            RouteNetlinkMessage::NewRoute(message) => route(&message, &names),
            RouteNetlinkMessage::NewNeighbour(message) => neighbour(&message, &names),
            RouteNetlinkMessage::NewRule(message) => Some(rule(&message)),
            _ => None,
        }));
    }
    lines.sort();
    Ok(lines)
}

/// The table of the addresses that are this namespace's own (`RT_TABLE_LOCAL`).
const LOCAL: u32 = 255;

type Names = BTreeMap<u32, String>;

fn name_of(index: u32, names: &Names) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("#{index}"))
}

fn link(message: &LinkMessage) -> (String, String) {
    let (mut name, mut rest) = (String::new(), String::new());
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(own) => name.clone_from(own),
            LinkAttribute::Mtu(mtu) => rest += &format!(" mtu {mtu}"),
            LinkAttribute::Address(mac) if !mac.is_empty() => rest += &format!(" mac {}", colons(mac)),
            LinkAttribute::Group(group) if *group != 0 => rest += &format!(" group {group}"),
            LinkAttribute::IfAlias(alias) => rest += &format!(" alias {alias}"),
            LinkAttribute::LinkInfo(info) => {
                for item in info {
                    if let LinkInfo::Kind(kind) = item {
                        rest += &format!(" {kind}");
                    }
                }
            }
            _ => {}
        }
    }
    let state = if message.header.flags.contains(LinkFlags::Up) { "up" } else { "down" };
    let line = format!("link {name} {state}{rest}");
    (name, line)
}

fn address(message: &AddressMessage, names: &Names) -> Option<String> {
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    let ip = ip.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })?;
    let dev = name_of(message.header.index, names);
    let scope = message.header.scope;
    Some(format!("address {ip}/{} dev {dev} scope {scope:?}", message.header.prefix_len).to_lowercase())
}

fn route(message: &RouteMessage, names: &Names) -> Option<String> {
    let header = &message.header;
    let everything: IpAddr = match header.address_family {
        AddressFamily::Inet => [0; 4].into(),
        AddressFamily::Inet6 => [0; 16].into(),
        _ => return None,
    };
    let (mut to, mut rest, mut table) = (everything, String::new(), u32::from(header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(gateway) => rest += &format!(" via {}", ip(gateway)?),
            RouteAttribute::Oif(device) => rest += &format!(" dev {}", name_of(*device, names)),
            RouteAttribute::PrefSource(source) => rest += &format!(" src {}", ip(source)?),
            RouteAttribute::Priority(metric) => rest += &format!(" metric {metric}"),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    if table == LOCAL && header.protocol == RouteProtocol::Kernel {
        return None;
    }
    let to = IpNetwork::new(to, header.destination_prefix_length).ok()?;
    let table = if table == u32::from(RouteHeader::RT_TABLE_MAIN) { String::new() } else { format!(" table {table}") };
    let kind = format!("{:?}", header.kind).to_lowercase();
    Some(format!("route {kind} {to}{rest} proto {}{table}", u8::from(header.protocol)))
}

fn neighbour(message: &NeighbourMessage, names: &Names) -> Option<String> {
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let mut line = "neighbour".to_owned();
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(to) => line += &format!(" {to:?}"),
            NeighbourAttribute::LinkLayerAddress(mac) => line += &format!(" mac {}", colons(mac)),
            _ => {}
        }
    }
    Some(format!("{line} dev {}", name_of(message.header.ifindex, names)))
}

fn rule(message: &RuleMessage) -> String {
    let mut line = format!("rule {:?}", message.header.family).to_lowercase();
    let mut table = u32::from(message.header.table);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(from) => line += &format!(" from {from}"),
            RuleAttribute::Priority(priority) => line += &format!(" priority {priority}"),
            RuleAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    format!("{line} table {table}")
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
