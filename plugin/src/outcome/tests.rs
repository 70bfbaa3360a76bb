//! From what an IPAM gave to routes, and from a plan to the printed result.

use std::net::IpAddr;

use cni::{ContainerId, Ifname, MacAddress};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn given(addresses: &[&str], routes: &[(&str, Option<&str>)]) -> Assignment {
    Assignment {
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        gateways: vec![ip("10.1.0.1")],
        routes: routes.iter().map(|(dst, gw)| Route::via(dst.parse().unwrap(), gw.map(ip))).collect(),
        dns: Dns::default(),
        leases: Vec::new(),
    }
}

fn destinations(assignment: &Assignment) -> Vec<String> {
    pod_routes(assignment).unwrap().iter().map(|route| route.destination.to_string()).collect()
}

#[test]
fn a_family_without_a_route_gets_its_default_route() {
    assert_eq!(destinations(&given(&["10.1.0.5", "fd00::5"], &[])), ["0.0.0.0/0", "::/0"]);
    assert_eq!(destinations(&given(&["10.1.0.5", "fd00::5"], &[("10.0.0.0/8", None)])), ["10.0.0.0/8", "::/0"]);
    assert_eq!(destinations(&given(&["fd00::5"], &[("10.0.0.0/8", None)])), ["::/0"]);
}

#[test]
fn a_route_goes_by_a_gateway_that_is_known_or_is_refused() {
    for gw in ["10.1.0.1", "169.254.1.1"] {
        assert_eq!(destinations(&given(&["10.1.0.5"], &[("0.0.0.0/0", Some(gw))])), ["0.0.0.0/0"]);
    }
    let error = pod_routes(&given(&["10.1.0.5"], &[("0.0.0.0/0", Some("10.1.0.9"))])).unwrap_err();
    assert_eq!(error.code, Code::InvalidConfig);
    assert!(error.details.contains("10.1.0.9"), "{error}");
}

/// S-127, S-131, S-135, S-176
#[test]
fn our_interfaces_come_after_those_of_earlier_plugins() {
    let attachment =
        Attachment { container_id: ContainerId::parse("c1").unwrap(), ifname: Ifname::parse("net1").unwrap() };
    let identity = Identity::of(&cni::NetworkName::parse("podnet").unwrap(), &attachment);
    let plan = Plan {
        addresses: vec!["10.1.0.5/32".parse().unwrap()],
        routes: vec![PodRoute::default_of(false)],
        host_mac: identity.host_mac,
        pod_mac: MacAddress::from([2, 0, 0, 0, 0, 9]),
        alias: String::new(),
        host_source: Vec::new(),
    };
    let netns = Path::new("/run/netns/a");
    let outcome = Outcome { netns, attachment: &attachment, identity: &identity, plan: &plan, mtu: 1400 };
    let previous = AddResult { interfaces: vec![Interface::named("other")], ..AddResult::default() };
    let result = outcome.result(previous, Dns::default());
    let names: Vec<_> = result.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["other", &identity.host_name, "net1"]);
    assert_eq!(result.interfaces[1].sandbox, None);
    assert_eq!(result.interfaces[2].sandbox.as_deref(), Some("/run/netns/a"));
    assert_eq!(result.interfaces[2].mac.as_deref(), Some("02:00:00:00:00:09"));
    assert_eq!(result.ips[0].interface, Some(2));
    assert_eq!(result.ips[0].gateway, Some(ip("169.254.1.1")));
    assert_eq!(our_routes(&result), plan.routes, "CHECK finds what ADD printed");
}
