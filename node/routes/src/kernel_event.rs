//! What the kernel's events mean to the reconciler. Most mean nothing: pods come and go by the thousand.

use ipnetwork::IpNetwork;
use netlink::{Address, Event, NODE_ROUTE, POD_ROUTE, Route};
use netlink_packet_route::RouteNetlinkMessage;

use super::here::Here;
use super::kernel::{MAIN, is_pod_link, link_here, observed};
use super::{Key, Target};

/// An event that may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// A route under our number is there now.
    Held(Key, Target),
    /// A route under our number went.
    Lost(Key),
    /// Another owner's route came or went, in whatever table; in the main one it may hold our place.
    Foreign {
        /// Its key, where it lies in the main table.
        key: Option<Key>,
        /// The subnet that it leads to.
        destination: IpNetwork,
        /// The number of its routing table.
        table: u32,
    },
    /// A route to a pod of this node came or went, or one by a link that is not known.
    Beside {
        /// The subnet that it leads to.
        destination: IpNetwork,
        /// The number of its routing table.
        table: u32,
    },
    /// A link changed; the kernel drops routes of a link that goes down without an event.
    Link {
        /// Its index.
        index: u32,
        /// Whether it was known before.
        known: bool,
    },
    /// This node's addresses changed.
    Addresses,
    /// Policy rules changed.
    Rules,
    /// A nexthop object changed.
    Nexthops,
    /// Events were lost: everything may have changed.
    Overflow,
}

/// Reads an event against what is known of this node; `None` for one that says nothing new.
pub fn kernel_event(event: &Event, here: &Here) -> Option<KernelEvent> {
    let message = match event {
        Event::Overflow => return Some(KernelEvent::Overflow),
        Event::Switched(_) => return None,
        Event::Rules => return Some(KernelEvent::Rules),
        Event::Nexthops => return Some(KernelEvent::Nexthops),
        Event::Changed(message) => message,
    };
    match &**message {
        RouteNetlinkMessage::NewLink(_) => {
            let (index, link) = link_here(&netlink::Link::from_message(message)?);
            let kernel_event = KernelEvent::Link { index, known: here.links.contains_key(&index) };
            (!is_pod_link(&link.name) && here.links.get(&index) != Some(&link)).then_some(kernel_event)
        }
        RouteNetlinkMessage::DelLink(_) => {
            let link = netlink::Link::from_message(message)?;
            here.links.contains_key(&link.index).then_some(KernelEvent::Link { index: link.index, known: true })
        }
        RouteNetlinkMessage::NewAddress(_) => address(message, here, false),
        RouteNetlinkMessage::DelAddress(_) => address(message, here, true),
        RouteNetlinkMessage::NewRoute(_) => {
            let route = Route::from_message(message)?;
            observed(&route).map(|(key, target)| KernelEvent::Held(key, target)).or_else(|| foreign(&route, here))
        }
        RouteNetlinkMessage::DelRoute(_) => {
            let route = Route::from_message(message)?;
            observed(&route).map(|(key, _)| KernelEvent::Lost(key)).or_else(|| foreign(&route, here))
        }
        _ => None,
    }
}

fn address(message: &RouteNetlinkMessage, here: &Here, gone: bool) -> Option<KernelEvent> {
    let address = Address::from_message(message)?;
    let counts = !address.link_scope && here.links.contains_key(&address.device);
    let known = here.addresses.contains(&(address.device, address.address));
    (counts && known == gone).then_some(KernelEvent::Addresses)
}

fn foreign(route: &Route, here: &Here) -> Option<KernelEvent> {
    let Route { destination, metric, table, protocol, device, .. } = *route;
    let beside = protocol == POD_ROUTE || device.is_some_and(|device| !here.links.contains_key(&device));
    match protocol {
        NODE_ROUTE => None,
        _ if beside => Some(KernelEvent::Beside { destination, table }),
        _ => {
            let key = (table == MAIN).then_some(Key { destination, metric });
            Some(KernelEvent::Foreign { key, destination, table })
        }
    }
}
