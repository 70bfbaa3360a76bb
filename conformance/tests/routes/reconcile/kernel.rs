//! Changes of a node's kernel by another program than the agent.

use ipnetwork::IpNetwork;
use netlink::{Address, Family, Link, NODE_ROUTE, Request, Route, Socket};
use netlink_packet_route::RouteNetlinkMessage;
use podlan_conformance::lab::{Error, Node};
use rtnetlink::LinkUnspec;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::sys::{Socket as Raw, protocols::NETLINK_ROUTE};

fn request(node: &Node, doing: &str, request: impl FnOnce() -> Request + Send) -> Result<(), Error> {
    let done = node.place().enter(|| -> Result<(), String> {
        let mut socket = Socket::open().map_err(|error| error.to_string())?;
        let verdicts = socket.request(&mut [request()]).map_err(|error| error.to_string())?;
        verdicts.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    })?;
    done.map_err(|said| Error::Unreadable { from: format!("{doing} on {}", node.name()), said })
}

pub(super) fn add_route(node: &Node, route: &Route) -> Result<(), Error> {
    request(node, "add a route", || route.add())
}

fn address(link: &str, address: IpNetwork) -> Address {
    let socket = Socket::open().unwrap_or_else(|error| panic!("{error}"));
    let device = Link::index(&socket, link).ok().flatten().unwrap_or_else(|| panic!("no link {link}"));
    Address { address, device, link_scope: false }
}

pub(super) fn add_address(node: &Node, link: &str, own: IpNetwork) -> Result<(), Error> {
    request(node, "add an address", || address(link, own).add())
}

pub(super) fn remove_address(node: &Node, link: &str, own: IpNetwork) -> Result<(), Error> {
    request(node, "remove an address", || address(link, own).remove())
}

/// Reads one route: cheap enough to be polled.
pub(super) fn has_route(node: &Node, destination: IpNetwork) -> Result<bool, Error> {
    let found = node.place().enter(|| {
        let dump = Route::dump(Family::of(destination.ip()), NODE_ROUTE);
        let keep = |message| Route::from_message(&message).filter(|route| route.destination == destination);
        Socket::open().and_then(|mut socket| socket.dump(dump, keep))
    })?;
    let found = found.map_err(|error| Error::Unreadable { from: node.name().to_owned(), said: error.to_string() })?;
    Ok(!found.is_empty())
}

/// Sets a link of the node itself down, or up again.
pub(super) fn set_up(node: &Node, link: &str, up: bool) -> Result<(), Error> {
    let switched = node.place().enter(|| -> std::io::Result<()> {
        let builder = LinkUnspec::new_with_name(link);
        let message = if up { builder.up() } else { builder.down() }.build();
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(message));
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let socket = Raw::new(NETLINK_ROUTE)?;
        socket.send(&bytes, 0).map(drop)
    })?;
    switched.map_err(|source| Error::System { doing: format!("switch {link} of {}", node.name()), source })
}
