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

    /// All routes of `protocol` in the main table of one family, as the kernel filters them (strict checking).
    pub fn dump(family: Family, protocol: u8) -> Request {
        let mut message = Self::every(family);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::from(protocol);
        Request::dump(RouteNetlinkMessage::GetRoute(message))
    }

    /// All routes of one family by one link, in every table and of every protocol; the kernel filters them.
    pub fn dump_by_device(family: Family, device: u32) -> Request {
        let mut message = Self::every(family);
        message.attributes.push(RouteAttribute::Oif(device));
        Request::dump(RouteNetlinkMessage::GetRoute(message))
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

/// Prints it as `ip route` does, the link by its index.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{:?} ", self.kind)?;
        }
        write!(f, "{}", self.destination)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(device) = self.device {
            write!(f, " dev {device}")?;
        }
        if self.table != MAIN {
            write!(f, " table {}", self.table)?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if self.onlink {
            write!(f, " onlink")?;
        }
        Ok(())
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

impl Lookup {
    fn of_forwarded(self, packet: &Forwarded) -> Request {
        let mut message = self.message(packet.destination);
        message.header.source_prefix_length = message.header.destination_prefix_length;
        message.attributes.push(RouteAttribute::Source(packet.source.into()));
        message.attributes.push(RouteAttribute::Iif(packet.incoming));
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
