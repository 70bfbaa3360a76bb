//! Links: making a veth pair, changing a link, and reading one.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, State,
};
use nix::errno::Errno;
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::net::netdevice::name_to_index;

use crate::request::Request;
use crate::socket::{Error, Socket};
use crate::wire::{KernelError, append};

const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_FORWARDING: u16 = 1;
const IPV4_DEVCONF_ACCEPT_REDIRECTS: u16 = 4;
const IPV4_DEVCONF_SEND_REDIRECTS: u16 = 6;
const IPV4_DEVCONF_RP_FILTER: u16 = 8;
const IPV4_DEVCONF_ARPFILTER: u16 = 13;
const IPV4_DEVCONF_ARP_NOTIFY: u16 = 22;
const IPV4_DEVCONF_ACCEPT_LOCAL: u16 = 23;
const IPV4_DEVCONF_ROUTE_LOCALNET: u16 = 26;

/// A link's name or number, as questions and changes address it.
#[derive(Clone, Copy, Debug)]
pub enum Selector<'a> {
    /// By name.
    Name(&'a str),
    /// By index.
    Index(u32),
}

/// A veth pair to be made, its far end made in another network namespace under its final name.
#[derive(Clone, Debug)]
pub struct NewVeth<'a> {
    /// The near end's name, MAC and group.
    pub name: &'a str,
    /// The near end's MAC.
    pub mac: [u8; 6],
    /// The near end's group, by which a set of links is found and removed.
    pub group: u32,
    /// The far end's name.
    pub peer_name: &'a str,
    /// The far end's MAC.
    pub peer_mac: [u8; 6],
    /// The network namespace of the far end; must outlive the request.
    pub peer_netns: BorrowedFd<'a>,
    /// The MTU of both ends, bytes.
    pub mtu: u32,
}

impl NewVeth<'_> {
    /// Makes the pair; `EEXIST` when either name is taken. Both ends are down: the kernel takes no IFF_UP here.
    pub fn add(&self) -> Request {
        let peer = LinkUnspec::new_with_name(self.peer_name)
            .address(self.peer_mac.to_vec())
            .mtu(self.mtu)
            .setns_by_fd(self.peer_netns.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(self.name.to_owned())
            .address(self.mac.to_vec())
            .mtu(self.mtu)
            .link_group(self.group)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        Request::create(RouteNetlinkMessage::NewLink(pair))
    }
}

/// What keeps a link's far side from misusing it, as far as `IFLA_AF_SPEC` can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// The pod has IPv4: forward what comes in by this link, whatever the default of new links.
    pub forward_v4: bool,
    /// The kernel has IPv6: make no link-local address of its own on this link (`addr_gen_mode none`).
    pub kernel_has_v6: bool,
    /// The node sends packets from 127.0.0.0/8 by this link, and takes the answers (`route_localnet`): the pod has host
    /// ports, which must work at 127.0.0.1. It opens the node's loopback to the pod, but for a rule that forbids that.
    pub route_localnet: bool,
}

/// One link as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The MAC, empty for a link that has none.
    pub mac: Vec<u8>,
    /// The MTU, bytes.
    pub mtu: u32,
    /// The group (`ip link show group`).
    pub group: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// It has a carrier (`IFF_LOWER_UP`): a cable, or a veth peer that is up.
    pub carrier: bool,
    /// Operationally up (RFC 2863): the kernel has activated its transmit queue, and packets pass.
    pub operational: bool,
    /// One end of a veth pair.
    pub veth: bool,
    /// A bridge: packets pass through the chains of the family `bridge` too.
    pub bridge: bool,
    /// The veth peer's index in its own namespace, where the kernel gives it (`IFLA_LINK`).
    pub peer: Option<u32>,
    /// The text for people (`ifalias`), "" when there is none.
    pub alias: String,
}

impl Link {
    /// The index of the link of this name in the socket's network namespace (`SIOCGIFINDEX`): `None` only when the kernel says
    /// that there is none (`ENODEV`).
    pub fn index(socket: &Socket, name: &str) -> Result<Option<u32>, Error> {
        match name_to_index(socket, name) {
            Ok(index) => Ok(Some(index)),
            Err(refused) => match Errno::from_raw(refused.raw_os_error()) {
                Errno::ENODEV => Ok(None),
                errno => Err(Error::Link(KernelError { errno, text: String::new() })),
            },
        }
    }

    /// Looks for one link: `None` only when the kernel answers `ENODEV`.
    pub fn find(socket: &mut Socket, link: Selector<'_>) -> Result<Option<Self>, Error> {
        match socket.get(Self::get(link))? {
            Ok(message) => Ok(Self::from_message(&message)),
            Err(refused) if refused.errno == Errno::ENODEV => Ok(None),
            Err(refused) => Err(Error::Link(refused)),
        }
    }

    /// Asks for one link; `ENODEV` when there is none.
    pub fn get(link: Selector<'_>) -> Request {
        Request::get(RouteNetlinkMessage::GetLink(select(link).build()))
    }

    /// All links.
    pub fn dump() -> Request {
        Request::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
    }

    /// Removes it (of a veth pair: both ends); `ENODEV` when there is none.
    pub fn remove(link: Selector<'_>) -> Request {
        Request::change(RouteNetlinkMessage::DelLink(select(link).build()))
    }

    /// Sets it up.
    pub fn up(index: u32) -> Request {
        Request::change(RouteNetlinkMessage::NewLink(select(Selector::Index(index)).up().build()))
    }

    /// Sets it up, and has it announce its IPv4 addresses when its MAC changes (`arp_notify`).
    pub fn up_announcing(index: u32) -> Request {
        let spec = LinkAttribute::AfSpecUnspec(vec![inet_conf(&[(IPV4_DEVCONF_ARP_NOTIFY, 1)])]);
        let link = select(Selector::Index(index)).up().append_extra_attribute(spec).build();
        Request::change(RouteNetlinkMessage::NewLink(link))
    }

    /// Has the node forward the IPv4 packets that come by it. It needs no /proc/sys, and `net.ipv4.ip_forward` may be 0.
    pub fn forward_v4(index: u32) -> Request {
        let spec = LinkAttribute::AfSpecUnspec(vec![inet_conf(&[(IPV4_DEVCONF_FORWARDING, 1)])]);
        let link = select(Selector::Index(index)).append_extra_attribute(spec).build();
        Request::change(RouteNetlinkMessage::SetLink(link))
    }

    /// Sets the MTU, bytes.
    pub fn set_mtu(index: u32, mtu: u32) -> Request {
        Request::change(RouteNetlinkMessage::SetLink(select(Selector::Index(index)).mtu(mtu).build()))
    }

    /// Hardens it: strict reverse path filter, no redirects in or out, no ARP answer (and no neighbour entry, which the
    /// kernel makes with it) to a sender that is not routed back to the link, and no IPv6 address of the kernel's own.
    /// And sets its text for people, at most 255 bytes.
    pub fn harden(index: u32, hardening: Hardening, alias: &str) -> Request {
        let mut conf = vec![
            (IPV4_DEVCONF_RP_FILTER, 1),
            (IPV4_DEVCONF_ACCEPT_REDIRECTS, 0),
            (IPV4_DEVCONF_SEND_REDIRECTS, 0),
            (IPV4_DEVCONF_ARPFILTER, 1),
        ];
        conf.extend(hardening.forward_v4.then_some((IPV4_DEVCONF_FORWARDING, 1)));
        conf.extend(hardening.route_localnet.then_some((IPV4_DEVCONF_ROUTE_LOCALNET, 1)));
        let mut spec = vec![inet_conf(&conf)];
        if hardening.kernel_has_v6 {
            spec.push(AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]));
        }
        let link =
            select(Selector::Index(index)).alias(alias).append_extra_attribute(LinkAttribute::AfSpecUnspec(spec));
        Request::change(RouteNetlinkMessage::SetLink(link.build()))
    }

    /// Takes in what has one of the node's own addresses as its source (`accept_local`, IPv4), without a reverse path filter
    /// unless one is set for all links.
    pub fn accept_local(index: u32) -> Request {
        let conf = inet_conf(&[(IPV4_DEVCONF_ACCEPT_LOCAL, 1), (IPV4_DEVCONF_RP_FILTER, 0)]);
        let link = select(Selector::Index(index)).append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![conf]));
        Request::change(RouteNetlinkMessage::SetLink(link.build()))
    }

    /// Reads a link that the kernel gave; `None` for another message.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let (RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)) = message else {
            return None;
        };
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: Vec::new(),
            mtu: 0,
            group: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            carrier: message.header.flags.contains(LinkFlags::LowerUp),
            operational: false,
            veth: false,
            bridge: false,
            peer: None,
            alias: String::new(),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac.clone_from(mac),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::Link(peer) => link.peer = Some(*peer),
                LinkAttribute::OperState(state) => link.operational = *state == State::Up,
                LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
                LinkAttribute::LinkInfo(info) => {
                    link.veth = info.contains(&LinkInfo::Kind(InfoKind::Veth));
                    link.bridge = info.contains(&LinkInfo::Kind(InfoKind::Bridge));
                }
                _ => {}
            }
        }
        Some(link)
    }
}

pub(crate) fn select(link: Selector<'_>) -> LinkMessageBuilder<LinkUnspec> {
    match link {
        Selector::Name(name) => LinkUnspec::new_with_name(name),
        Selector::Index(index) => LinkUnspec::new_with_index(index),
    }
}

/// IPv4 settings of a link, by their numbers in the kernel's `linux/ip.h`.
fn inet_conf(settings: &[(u16, u32)]) -> AfSpecUnspec {
    let mut conf = Vec::with_capacity(settings.len() * 8);
    settings.iter().for_each(|(key, value)| append(&mut conf, *key, &value.to_ne_bytes()));
    AfSpecUnspec::Inet(vec![AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, conf))])
}
