//! What the kernel's events mean to the reconciler. Most mean nothing: pods come and go by the thousand.

use netlink::{Address, Event, NODE_ROUTE, Route};
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::here::Here;
use super::kernel::{MAIN, is_pod_link, link_here, observed};
use super::{Key, Target};

/// An event that may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A route under our number is there now.
    Held(Key, Target),
    /// A route under our number went.
    Lost(Key),
    /// Another owner's route came or went.
    Foreign(Key),
    /// This node's links or addresses changed; the kernel drops routes of a link that goes down without a word.
    Surroundings,
    /// Events were lost: everything may have changed.
    Overflow,
}

/// Reads an event against what is known of this node; `None` for one that says nothing new.
pub(crate) fn news(event: &Event, here: &Here) -> Option<News> {
    let message = match event {
        Event::Overflow => return Some(News::Overflow),
        Event::Switched(_) => return None,
        Event::Changed(message) => message,
    };
    match &**message {
        RouteNetlinkMessage::NewLink(_) => {
            let (index, link) = link_here(&netlink::Link::from_message(message)?);
            (!is_pod_link(&link.name) && here.links.get(&index) != Some(&link)).then_some(News::Surroundings)
        }
        RouteNetlinkMessage::DelLink(_) => {
            let link = netlink::Link::from_message(message)?;
            here.links.contains_key(&link.index).then_some(News::Surroundings)
        }
        RouteNetlinkMessage::NewAddress(_) => address(message, here, false),
        RouteNetlinkMessage::DelAddress(_) => address(message, here, true),
        RouteNetlinkMessage::NewRoute(_) => {
            let route = Route::from_message(message)?;
            observed(&route).map(|(key, target)| News::Held(key, target)).or_else(|| foreign(&route))
        }
        RouteNetlinkMessage::DelRoute(_) => {
            let route = Route::from_message(message)?;
            observed(&route).map(|(key, _)| News::Lost(key)).or_else(|| foreign(&route))
        }
        _ => None,
    }
}

fn address(message: &RouteNetlinkMessage, here: &Here, gone: bool) -> Option<News> {
    let address = Address::from_message(message)?;
    let counts = !address.link_scope && here.links.contains_key(&address.device);
    let known = here.addresses.contains(&(address.device, address.address));
    (counts && known == gone).then_some(News::Surroundings)
}

fn foreign(route: &Route) -> Option<News> {
    let another = route.table == MAIN && ![NODE_ROUTE, netlink::POD_ROUTE].contains(&route.protocol);
    another.then_some(News::Foreign(Key { destination: route.destination, metric: route.metric }))
}
