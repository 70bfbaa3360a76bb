//! From a plan to the printed result, and back.

use std::net::IpAddr;

use cni::{ContainerId, Ifname, MacAddress};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// S-127, S-131, S-135, S-176
#[test]
fn our_interfaces_come_after_those_of_earlier_plugins() {
    let attachment =
        Attachment { container_id: ContainerId::parse("c1").unwrap(), ifname: Ifname::parse("net1").unwrap() };
    let identity = Identity::of(&cni::NetworkName::parse("podnet").unwrap(), &attachment);
    let plan = Plan {
        addresses: vec!["10.1.0.5/32".parse().unwrap()],
        routes: vec![PodRoute::default_of(Family::V4)],
        host_mac: identity.host_mac,
        pod_mac: MacAddress::from([2, 0, 0, 0, 0, 9]),
        alias: String::new(),
        host_source: Vec::new(),
    };
    let netns = Path::new("/run/netns/a");
    let made = Made { netns, attachment: &attachment, identity: &identity, plan: &plan, mtu: 1400 };
    let previous = AddResult { interfaces: vec![Interface::named("other")], ..AddResult::default() };
    let result = made.result(previous, Dns::default());
    let names: Vec<_> = result.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["other", &identity.host_name, "net1"]);
    assert_eq!(result.interfaces[1].sandbox, None);
    assert_eq!(result.interfaces[2].sandbox.as_deref(), Some("/run/netns/a"));
    assert_eq!(result.interfaces[2].mac.as_deref(), Some("02:00:00:00:00:09"));
    assert_eq!(result.ips[0].interface, Some(2));
    assert_eq!(result.ips[0].gateway, Some(ip("169.254.1.1")));
    assert_eq!(our_routes(&result), plan.routes, "CHECK finds what ADD printed");
}
