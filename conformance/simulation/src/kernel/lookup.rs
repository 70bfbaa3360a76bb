//! Which route a packet takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink::{Route, RouteKind, Scope};
use nix::errno::Errno;

use super::{Kernel, Table};

/// `RTN_THROW`.
const THROW: RouteKind = RouteKind::Other(9);

impl Table {
    /// The entries for an address, the best first.
    fn entries(&self, address: IpAddr) -> impl Iterator<Item = &Route> {
        let lengths = self.lengths.range((address.is_ipv4(), 0)..=(address.is_ipv4(), 128)).rev();
        lengths.flat_map(move |((_, length), _)| self.to(masked(address, *length)))
    }
}

impl Kernel {
    /// The entry of the routing tables that decides on packets to an address, or the error of one that leads nowhere.
    pub fn lookup(&self, address: IpAddr) -> Result<&Route, Errno> {
        self.find(address, |_| true).and_then(|route| match route.kind {
            RouteKind::Unreachable => Err(Errno::EHOSTUNREACH),
            RouteKind::Other(6) => Err(Errno::EINVAL),
            RouteKind::Other(8) => Err(Errno::EACCES),
            _ => Ok(route),
        })
    }

    fn find(&self, address: IpAddr, fits: impl Fn(&Route) -> bool) -> Result<&Route, Errno> {
        for rule in &self.rules {
            if rule.to.is_some_and(|to| !to.contains(address)) {
                continue;
            }
            let Some(table) = self.tables.get(&rule.table) else { continue };
            if let Some(route) = table.entries(address).find(|route| fits(route)).filter(|route| route.kind != THROW) {
                return Ok(route);
            }
        }
        Err(Errno::ENETUNREACH)
    }

    /// Whether the kernel takes a gateway by a link (`fib_check_nh_v4_gw`, `ip6_route_check_nh`).
    pub(super) fn check_gateway(&self, gateway: IpAddr, device: u32) -> Result<(), Errno> {
        if gateway.is_ipv4() {
            // Entries of a wider scope than the link's are passed over, those that lead nowhere too.
            let is_near = |route: &Route| route.scope != Scope::Global && route.device.is_none_or(|by| by == device);
            match self.find(gateway, is_near)?.kind {
                RouteKind::Unicast | RouteKind::Other(2) => Ok(()),
                _ => Err(Errno::EINVAL),
            }
        } else {
            if self.addresses.iter().any(|own| own.address.ip() == gateway && own.device == device) {
                return Err(Errno::EINVAL);
            }
            if matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
                return Ok(());
            }
            let route = self.find(gateway, |_| true).map_err(|_| Errno::EHOSTUNREACH)?;
            let fits = route.kind == RouteKind::Unicast && route.gateway.is_none() && route.device == Some(device);
            if fits { Ok(()) } else { Err(Errno::EHOSTUNREACH) }
        }
    }
}

/// The subnet of this prefix length that holds an address.
pub(super) fn masked(address: IpAddr, length: u8) -> IpNetwork {
    let network: IpAddr = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    };
    IpNetwork::new(network, length).unwrap_or_else(|_| network.into())
}
