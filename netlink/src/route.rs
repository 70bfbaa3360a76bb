//! Routes as values: what is asked of the kernel, and what it gives back.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;

use crate::Family;
use crate::request::Request;
use crate::socket::{Error, Socket};
use crate::wire::KernelError;

/// The table in which a node keeps its routes (`RT_TABLE_MAIN`).
const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// The MTU's bit among the metrics that are locked (`1 << RTAX_MTU`).
const MTU_LOCK: u32 = 1 << 2;

/// What a route does with a packet (`rtm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Answers "destination unreachable".
    Unreachable,
    /// Anything else: local, blackhole, throw, …
    Other(u8),
}

impl RouteKind {
    /// Whether packets end there: unreachable, blackhole, prohibit.
    pub fn leads_nowhere(self) -> bool {
        matches!(self, Self::Unreachable | Self::Other(6 | 8))
    }
}

/// How far the destination is (`rtm_scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Anywhere (`RT_SCOPE_UNIVERSE`); "global" in iproute2.
    Global,
    /// On the link itself.
    Link,
    /// On this host.
    Host,
    /// Any other number.
    Other(u8),
}

/// One route, with everything that podlan ever sets or compares. Built up from [`Route::to`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The destination subnet.
    pub destination: IpNetwork,
    /// What happens to a packet.
    pub kind: RouteKind,
    /// The next hop, if there is one. An IPv4 route may go by an IPv6 next hop (`RTA_VIA`, RFC 5549).
    pub gateway: Option<IpAddr>,
    /// The index of the link that it leaves by, if it does.
    pub device: Option<u32>,
    /// The source address of packets that start on this host (`RTA_PREFSRC`).
    pub source: Option<IpAddr>,
    /// The priority, lower is better. The kernel takes 0 for IPv6 as 1024.
    pub metric: u32,
    /// The routing table.
    pub table: u32,
    /// Who made it (`rtm_protocol`).
    pub protocol: u8,
    /// How far the destination is; the kernel knows it for IPv4 alone.
    pub scope: Scope,
    /// The gateway is on the link whatever the addresses say (`RTNH_F_ONLINK`).
    pub onlink: bool,
    /// The path MTU that it claims, if any.
    pub mtu: Option<u32>,
    /// The path MTU holds for forwarded packets too, and path MTU discovery does not change it (`ip route … mtu lock`).
    pub mtu_locked: bool,
    /// The TCP segment size that it advertises, if any.
    pub advmss: Option<u32>,
}

impl Route {
    /// A unicast route to `destination` in the main table, of this protocol; the rest is set field by field.
    pub fn to(destination: IpNetwork, protocol: u8) -> Self {
        Self {
            destination,
            kind: RouteKind::Unicast,
            gateway: None,
            device: None,
            source: None,
            metric: 0,
            table: MAIN,
            protocol,
            scope: Scope::Global,
            onlink: false,
            mtu: None,
            mtu_locked: false,
            advmss: None,
        }
    }

    /// Adds it; `EEXIST` when the table holds a route of the same destination and metric.
    pub fn add(&self) -> Request {
        Request::create(RouteNetlinkMessage::NewRoute(self.message()))
    }

    /// Puts it in the place of the route of the same destination and metric, or adds it.
    pub fn replace(&self) -> Request {
        Request::replace(RouteNetlinkMessage::NewRoute(self.message()))
    }

    /// Removes it; `ESRCH` when the table holds no such route.
    pub fn remove(&self) -> Request {
        Request::change(RouteNetlinkMessage::DelRoute(self.message()))
    }

    /// All routes of `protocol` (0: of any) in the main table of one family.
    pub fn dump(family: Family, protocol: u8) -> Request {
        let mut message = Self::every(family);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::from(protocol);
        Request::dump(RouteNetlinkMessage::GetRoute(message))
    }

    /// All routes of one family by one link, in every table and of every protocol.
    pub fn dump_by_device(family: Family, device: u32) -> Request {
        let mut message = Self::every(family);
        message.attributes.push(RouteAttribute::Oif(device));
        Request::dump(RouteNetlinkMessage::GetRoute(message))
    }

    /// The message by which the kernel says that it came, or was changed.
    pub fn came(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::NewRoute(self.message())
    }

    /// The message by which the kernel says that it went.
    pub fn went(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::DelRoute(self.message())
    }

    /// The route that an address takes; `None` when the kernel answers that there is none.
    pub fn ask(socket: &mut Socket, lookup: Lookup, address: IpAddr) -> Result<Option<Self>, Error> {
        match socket.get(lookup.of(address))? {
            Ok(message) => Ok(Self::from_message(&message)),
            Err(refused) if leads_nowhere(refused.errno) => Ok(None),
            Err(refused) => Err(Error::Route(refused)),
        }
    }

    /// The route that a packet takes which this host forwards; the kernel's refusal where it would not, such as `EXDEV` when
    /// its reverse path filter drops it.
    pub fn ask_forwarded(
        socket: &mut Socket,
        lookup: Lookup,
        packet: &Forwarded,
    ) -> Result<Result<Option<Self>, KernelError>, Error> {
        Ok(socket.get(lookup.of_forwarded(packet))?.map(|message| Self::from_message(&message)))
    }

    /// All routes of one table of one family, of every protocol or of one. For a table that does not exist `ENOENT`, or none.
    pub fn dump_table(family: Family, table: u32, protocol: Option<u8>) -> Request {
        let mut message = Self::every(family);
        if let Some(protocol) = protocol {
            message.header.protocol = RouteProtocol::from(protocol);
        }
        match u8::try_from(table) {
            Ok(table) => message.header.table = table,
            Err(_) => message.attributes.push(RouteAttribute::Table(table)),
        }
        Request::dump(RouteNetlinkMessage::GetRoute(message))
    }

    /// All routes of one family, in every table.
    pub(crate) fn dump_all(family: Family) -> Request {
        Request::dump(RouteNetlinkMessage::GetRoute(Self::every(family)))
    }

    fn every(family: Family) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family.in_header();
        message
    }

    fn message(&self) -> RouteMessage {
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(self.destination.network(), self.destination.prefix())
            .unwrap_or_else(|_| RouteMessageBuilder::<IpAddr>::new())
            .table_id(self.table)
            .protocol(RouteProtocol::from(self.protocol))
            .scope(self.scope.into())
            .kind(self.kind.into());
        if let Some(device) = self.device {
            builder = builder.output_interface(device);
        }
        if self.metric != 0 {
            builder = builder.priority(self.metric);
        }
        let mut message = builder.build();
        if self.onlink {
            message.header.flags |= RouteFlags::Onlink;
        }
        let attributes = &mut message.attributes;
        attributes.extend(self.gateway.map(|gateway| match gateway {
            gateway if gateway.is_ipv4() == self.destination.is_ipv4() => RouteAttribute::Gateway(gateway.into()),
            gateway => RouteAttribute::Via(RouteVia::from(gateway)),
        }));
        attributes.extend(self.source.map(|source| RouteAttribute::PrefSource(source.into())));
        let lock = self.mtu_locked.then_some(RouteMetric::Lock(MTU_LOCK));
        let mtu = self.mtu.map(RouteMetric::Mtu);
        let metrics: Vec<_> = lock.into_iter().chain(mtu).chain(self.advmss.map(RouteMetric::Advmss)).collect();
        if !metrics.is_empty() {
            attributes.push(RouteAttribute::Metrics(metrics));
        }
        message
    }

    /// Reads a route that the kernel gave; `None` for a message that is no route of IPv4 or IPv6.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let (RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message)) = message else {
            return None;
        };
        let header = &message.header;
        let everything = match header.address_family {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return None,
        };
        let mut route =
            Self::to(IpNetwork::new(everything, header.destination_prefix_length).ok()?, header.protocol.into());
        route.kind = header.kind.into();
        route.table = header.table.into();
        route.scope = header.scope.into();
        route.onlink = header.flags.contains(RouteFlags::Onlink);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(to) => {
                    route.destination = IpNetwork::new(ip(to)?, header.destination_prefix_length).ok()?
                }
                RouteAttribute::Gateway(gateway) => route.gateway = ip(gateway),
                RouteAttribute::Via(RouteVia::Inet(gateway)) => route.gateway = Some(IpAddr::V4(*gateway)),
                RouteAttribute::Via(RouteVia::Inet6(gateway)) => route.gateway = Some(IpAddr::V6(*gateway)),
                RouteAttribute::Oif(device) => route.device = Some(*device),
                RouteAttribute::PrefSource(source) => route.source = ip(source),
                RouteAttribute::Priority(metric) => route.metric = *metric,
                RouteAttribute::Table(table) => route.table = *table,
                RouteAttribute::Metrics(metrics) => route.read_metrics(metrics),
                _ => {}
            }
        }
        Some(route)
    }

    fn read_metrics(&mut self, metrics: &[RouteMetric]) {
        for metric in metrics {
            match metric {
                RouteMetric::Lock(locked) => self.mtu_locked = locked & MTU_LOCK != 0,
                RouteMetric::Mtu(mtu) => self.mtu = Some(*mtu),
                RouteMetric::Advmss(advmss) => self.advmss = Some(*advmss),
                _ => {}
            }
        }
    }
}

/// As `ip route` names it (`rtn_type`).
impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match RouteType::from(*self) {
            RouteType::Unicast => "unicast",
            RouteType::Local => "local",
            RouteType::Broadcast => "broadcast",
            RouteType::Anycast => "anycast",
            RouteType::Multicast => "multicast",
            RouteType::BlackHole => "blackhole",
            RouteType::Unreachable => "unreachable",
            RouteType::Prohibit => "prohibit",
            RouteType::Throw => "throw",
            RouteType::Nat => "nat",
            RouteType::ExternalResolve => "xresolve",
            other => return write!(f, "type {}", u8::from(other)),
        };
        f.write_str(name)
    }
}

impl Route {
    /// The route as `ip route` prints it, with the name of its link by `name`; where that is not known, the link is printed
    /// as `ip` prints such a link: `if2`.
    pub fn shown(&self, name: impl FnOnce(u32) -> Option<String>) -> String {
        let mut text = String::new();
        if self.kind != RouteKind::Unicast {
            text += &format!("{} ", self.kind);
        }
        text += &self.destination.to_string();
        if let Some(gateway) = self.gateway {
            text += &format!(" via {gateway}");
        }
        // The kernel shows the loopback link with IPv6 routes that lead nowhere.
        if let Some(index) = self.device.filter(|_| !self.kind.leads_nowhere()) {
            text += &format!(" dev {}", name(index).unwrap_or_else(|| format!("if{index}")));
        }
        if self.table != MAIN {
            text += &format!(" table {}", self.table);
        }
        if self.metric != 0 {
            text += &format!(" metric {}", self.metric);
        }
        if self.onlink {
            text += " onlink";
        }
        text
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(|_| None))
    }
}

/// A packet that this host received on a link and forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// The index of the link that it came in by.
    pub incoming: u32,
}

/// The question which route a packet to an address would take (`ip route get`).
pub enum Lookup {
    /// The outcome for a packet: the next hop and link that it would use.
    Packet,
    /// The table's own entry that matches (`RTM_F_FIB_MATCH`).
    Entry,
}

/// A packet that a host looks up: one that it forwards, or one that it sends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Its destination address.
    pub destination: IpAddr,
    /// Its source address, where it is chosen already.
    pub source: Option<IpAddr>,
    /// The index of the link that it came in by; none for a packet that this host sends.
    pub incoming: Option<u32>,
}

impl Looked {
    /// The question which entry of the routing tables decides (`RTM_F_FIB_MATCH`).
    pub(crate) fn question(&self) -> Request {
        let mut message = Lookup::Entry.message(self.destination);
        if let Some(source) = self.source {
            message.header.source_prefix_length = message.header.destination_prefix_length;
            message.attributes.push(RouteAttribute::Source(source.into()));
        }
        message.attributes.extend(self.incoming.map(RouteAttribute::Iif));
        message.header.flags |= with_table(self.destination);
        Request::get(RouteNetlinkMessage::GetRoute(message))
    }
}

/// Has the kernel name the table: without it IPv4 says `main` of every one; IPv6 always names it, and refuses the flag
/// (`inet6_rtm_valid_getroute_req`).
fn with_table(destination: IpAddr) -> RouteFlags {
    if destination.is_ipv4() { RouteFlags::LookupTable } else { RouteFlags::empty() }
}

impl Lookup {
    fn of_forwarded(self, packet: &Forwarded) -> Request {
        let mut message = self.message(packet.destination);
        message.header.source_prefix_length = message.header.destination_prefix_length;
        message.attributes.push(RouteAttribute::Source(packet.source.into()));
        message.attributes.push(RouteAttribute::Iif(packet.incoming));
        message.header.flags |= with_table(packet.destination);
        Request::get(RouteNetlinkMessage::GetRoute(message))
    }

    /// Asks for `address`; the answer is read by [`Route::from_message`], `ENETUNREACH` when there is no route.
    pub fn of(self, address: IpAddr) -> Request {
        Request::get(RouteNetlinkMessage::GetRoute(self.message(address)))
    }

    fn message(self, address: IpAddr) -> RouteMessage {
        let family = Family::of(address);
        let mut message = RouteMessage::default();
        message.header.address_family = family.in_header();
        message.header.destination_prefix_length = family.bits();
        message.attributes.push(RouteAttribute::Destination(address.into()));
        if let Self::Entry = self {
            message.header.flags |= RouteFlags::FibMatch;
        }
        message
    }
}

/// What the kernel answers where no route leads anywhere: none, or one that is unreachable, a blackhole, prohibited or
/// throw, in this order; or it has no such address family. Other errors are not about routes.
fn leads_nowhere(errno: Errno) -> bool {
    use Errno::{EACCES, EAFNOSUPPORT, EAGAIN, EHOSTUNREACH, EINVAL, ENETUNREACH, EOPNOTSUPP};
    let none = [ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES, EAGAIN, EAFNOSUPPORT, EOPNOTSUPP];
    none.contains(&errno)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

impl RouteKind {
    pub(crate) fn from_number(number: u8) -> Self {
        RouteType::from(number).into()
    }
}

impl Scope {
    pub(crate) fn from_number(number: u8) -> Self {
        RouteScope::from(number).into()
    }
}

impl From<RouteKind> for RouteType {
    fn from(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Unicast => Self::Unicast,
            RouteKind::Unreachable => Self::Unreachable,
            RouteKind::Other(number) => Self::from(number),
        }
    }
}

impl From<RouteType> for RouteKind {
    fn from(kind: RouteType) -> Self {
        match kind {
            RouteType::Unicast => Self::Unicast,
            RouteType::Unreachable => Self::Unreachable,
            other => Self::Other(other.into()),
        }
    }
}

impl From<Scope> for RouteScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Global => Self::Universe,
            Scope::Link => Self::Link,
            Scope::Host => Self::Host,
            Scope::Other(number) => Self::from(number),
        }
    }
}

impl From<RouteScope> for Scope {
    fn from(scope: RouteScope) -> Self {
        match scope {
            RouteScope::Universe => Self::Global,
            RouteScope::Link => Self::Link,
            RouteScope::Host => Self::Host,
            other => Self::Other(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_printed_with_its_kind_and_its_link_by_name() {
        let blackhole = Route { kind: RouteKind::from_number(6), ..Route::to("10.244.2.2/32".parse().unwrap(), 4) };
        assert_eq!(blackhole.to_string(), "blackhole 10.244.2.2/32");
        let hop = Route {
            gateway: "172.31.0.9".parse().ok(),
            device: Some(2),
            metric: 110,
            ..Route::to("10.244.2.0/24".parse().unwrap(), 4)
        };
        assert_eq!(hop.shown(|_| Some("eth0".to_owned())), "10.244.2.0/24 via 172.31.0.9 dev eth0 metric 110");
        assert_eq!(hop.to_string(), "10.244.2.0/24 via 172.31.0.9 dev if2 metric 110");
        let kinds = [1, 2, 5, 7, 8, 9, 12].map(|number| RouteKind::from_number(number).to_string());
        assert_eq!(kinds, ["unicast", "local", "multicast", "unreachable", "prohibit", "throw", "type 12"]);
    }
}
