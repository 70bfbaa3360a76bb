//! The lab's links: a bridge as the LAN, and a cable from each node to it.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use netlink_packet_route::neighbour::{NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::kernel::Kernel;
use super::until;

/// Makes the bridge `name` in this network namespace, up, and brings up the loopback.
pub(super) fn bridge(name: &str) -> Result<(), Errno> {
    let kernel = Kernel::here()?;
    set_up(&kernel, "lo")?;
    kernel.create(RouteNetlinkMessage::NewLink(LinkBridge::new(name).build()))
}

/// A cable from the bridge in this network namespace to `eth0`, created in `node`'s namespace with this hardware
/// address.
pub(super) fn cable(bridge: &str, name: &str, node: BorrowedFd<'_>, mac: [u8; 6]) -> Result<(), Errno> {
    let far = LinkUnspec::new_with_name("eth0").setns_by_fd(node.as_raw_fd()).address(mac.to_vec()).build();
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(name)
        .up()
        .controller(if_nametoindex(bridge)?)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
        .build();
    Kernel::here()?.create(RouteNetlinkMessage::NewLink(pair))
}

/// The number of neighbour entries in this network namespace, without those that need no link-layer address.
pub(super) fn neighbours() -> Result<usize, Errno> {
    let known = Kernel::here()?.dump(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()))?;
    let counts = |message: &RouteNetlinkMessage| matches!(message, RouteNetlinkMessage::NewNeighbour(message) if message.header.state != NeighbourState::Noarp);
    Ok(known.iter().filter(|message| counts(message)).count())
}

/// Sets this network namespace's loopback and `eth0` up, and gives `eth0` its addresses. IPv6 is usable at once, as on
/// a node that has been up for long: nothing is forwarded before a link-local address has passed duplicate detection.
pub(super) fn plug_in(addresses: &[IpNetwork]) -> Result<(), Errno> {
    let kernel = Kernel::here()?;
    let detection = Path::new("/proc/sys/net/ipv6/conf/eth0/accept_dad");
    if detection.exists() {
        fs::write(detection, "0").map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    }
    set_up(&kernel, "lo")?;
    set_up(&kernel, "eth0")?;
    let device = if_nametoindex("eth0")?;
    for address in addresses {
        kernel.create(RouteNetlinkMessage::NewAddress(message(device, *address)))?;
    }
    settle(&kernel, addresses)
}

/// The kernel activates an IPv6 address on a worker, a moment later: until its local route exists the node does not
/// answer, and a monitor of the routes would see it appear.
fn settle(kernel: &Kernel, addresses: &[IpNetwork]) -> Result<(), Errno> {
    let until = until(Duration::from_secs(2));
    let v6: Vec<IpAddr> = addresses.iter().map(IpNetwork::ip).filter(IpAddr::is_ipv6).collect();
    while !v6.is_empty() && Instant::now() < until {
        let local = local_addresses(kernel)?;
        let link_local = local.iter().any(|ip| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
        if link_local && v6.iter().all(|ip| local.contains(ip)) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The IPv6 addresses at which this network namespace answers.
fn local_addresses(kernel: &Kernel) -> Result<Vec<IpAddr>, Errno> {
    let mut question = RouteMessage::default();
    question.header.address_family = AddressFamily::Inet6;
    let local = |answer: RouteNetlinkMessage| match answer {
        RouteNetlinkMessage::NewRoute(route) if route.header.kind == RouteType::Local => {
            route.attributes.into_iter().find_map(|attribute| match attribute {
                RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(IpAddr::from(ip)),
                _ => None,
            })
        }
        _ => None,
    };
    Ok(kernel.dump(RouteNetlinkMessage::GetRoute(question))?.into_iter().filter_map(local).collect())
}

/// Sets the link `name` of this network namespace down or up, as when a cable is unplugged.
pub(super) fn switch(name: &str, up: bool) -> Result<(), Errno> {
    let link = LinkUnspec::new_with_name(name);
    let link = if up { link.up() } else { link.down() };
    Kernel::here()?.change(RouteNetlinkMessage::NewLink(link.build()))
}

/// Removes the link `name` of this network namespace.
pub(super) fn remove(name: &str) -> Result<(), Errno> {
    Kernel::here()?.change(RouteNetlinkMessage::DelLink(LinkUnspec::new_with_name(name).build()))
}

/// Removes the link with this index in another network namespace, by the number that this namespace has for it
/// (`IFLA_TARGET_NETNSID`). By name, kernels of 5.10 look for it in the caller's own.
///
/// # Errors
/// The kernel's error: `EACCES` without `CAP_NET_ADMIN` there.
pub fn remove_in(namespace: i32, index: u32) -> Result<(), Errno> {
    let there = LinkAttribute::IfNetnsId(namespace);
    let link = LinkUnspec::new_with_index(index).append_extra_attribute(there).build();
    Kernel::here()?.change(RouteNetlinkMessage::DelLink(link))
}

/// Deletes the unicast route of the main table to `destination` in this network namespace.
pub(super) fn remove_route(destination: IpNetwork) -> Result<(), Errno> {
    let mut message = RouteMessage::default();
    let ip = destination.network();
    message.header.address_family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Destination(ip.into())];
    Kernel::here()?.change(RouteNetlinkMessage::DelRoute(message))
}

fn set_up(kernel: &Kernel, name: &str) -> Result<(), Errno> {
    kernel.change(RouteNetlinkMessage::NewLink(LinkUnspec::new_with_name(name).up().build()))
}

fn message(device: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    let ip = address.ip();
    message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = address.prefix();
    message.header.index = device;
    if ip.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    message
}
