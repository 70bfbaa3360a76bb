//! The shell commands that cure: they put back what podlan made, as it makes it.

use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use netlink::{NODE_ROUTE, Route};
use routes::{PEER_METRIC, Target};

/// The protocols of routes that no program looks after: a person made them, or a script (`boot`, `static`).
const BY_HAND: [u8; 2] = [3, 4];

/// Removes exactly this route; `None` for one that a program looks after: it would make it again, or needs it.
pub(crate) fn remove_route(route: &Route, name: impl Fn(u32) -> String) -> Option<String> {
    if !BY_HAND.contains(&route.protocol) {
        return None;
    }
    let v6 = if route.destination.is_ipv6() { "-6 " } else { "" };
    let kind = if route.kind == netlink::RouteKind::Unicast { String::new() } else { format!("{} ", route.kind) };
    let mut command = format!("ip {v6}route del {kind}{}", route.destination);
    if let Some(gateway) = route.gateway {
        command += &format!(" via {gateway}");
    }
    if let Some(device) = route.device.filter(|_| !route.kind.leads_nowhere()) {
        command += &format!(" dev {}", name(device));
    }
    if route.metric != 0 {
        command += &format!(" metric {}", route.metric);
    }
    Some(command + &format!(" proto {}", route.protocol))
}

/// The route to another node's pods, or the one of this node's own subnet; `None` for a shape that podlan does not make.
pub(crate) fn node_route(cidr: IpNetwork, wanted: Target, name: impl Fn(u32) -> String) -> Option<String> {
    let v6 = if cidr.is_ipv6() { "-6 " } else { "" };
    Some(match wanted {
        Target::Hop { via, link, onlink } => {
            let inet6 = if via.is_ipv6() && cidr.is_ipv4() { "inet6 " } else { "" };
            let onlink = if onlink { " onlink" } else { "" };
            format!(
                "ip {v6}route replace {cidr} via {inet6}{via} dev {}{onlink} metric {PEER_METRIC} proto {NODE_ROUTE}",
                name(link)
            )
        }
        Target::Unreachable => {
            format!("ip {v6}route replace unreachable {cidr} metric {} proto {NODE_ROUTE}", routes::OWN_METRIC)
        }
        Target::Foreign => return None,
    })
}

/// The route to a pod. Scope global: in scope link the source of the node's own traffic would be 169.254.1.1.
pub(crate) fn pod_route(address: IpAddr, link: &str, host_source: Option<IpAddr>) -> String {
    let v6 = if address.is_ipv6() { "-6 " } else { "" };
    let scope = if address.is_ipv6() { "" } else { " scope global" };
    let source = host_source.map(|source| format!(" src {source}")).unwrap_or_default();
    format!("ip {v6}route replace {address} dev {link} proto {}{scope}{source}", netlink::POD_ROUTE)
}

/// The host link and all that goes with it: its own addresses, which IPv6 loses with the link, and the pod's routes.
pub(crate) fn pod_link(link: &str, link_local: IpAddr, addresses: &[(IpAddr, Option<IpAddr>)]) -> String {
    let mut commands = vec![format!("ip link set {link} up")];
    if addresses.iter().any(|(address, _)| address.is_ipv6()) {
        commands.push(format!("ip -6 addr replace fe80::1/128 dev {link} nodad"));
        commands.push(format!(
            "ip -6 route replace {link_local} dev {link} proto {} metric $(cat /sys/class/net/{link}/ifindex)",
            netlink::POD_ROUTE
        ));
    }
    commands.extend(addresses.iter().map(|(address, source)| pod_route(*address, link, *source)));
    commands.join(" && ")
}

/// The interface in the pod, its addresses and its routes by the gateway.
pub(crate) fn inside(netns: &Path, ifname: &str, addresses: &[IpAddr]) -> String {
    let (enter, protocol) = (facts::attached::observe::nsenter(netns), netlink::POD_ROUTE);
    let mut commands = vec![format!("ip link set {ifname} up")];
    for address in addresses {
        if address.is_ipv4() {
            commands.push(format!("ip addr replace {address}/32 dev {ifname}"));
            commands.push(format!("ip route replace 169.254.1.1 dev {ifname} scope link proto {protocol}"));
            commands.push(format!("ip route replace default via 169.254.1.1 dev {ifname} proto {protocol}"));
        } else {
            commands.push(format!("ip -6 addr replace {address}/128 dev {ifname} nodad"));
            commands.push(format!("ip -6 route replace default via fe80::1 dev {ifname} proto {protocol}"));
        }
    }
    commands.iter().map(|command| format!("{enter} {command}")).collect::<Vec<_>>().join(" && ")
}
