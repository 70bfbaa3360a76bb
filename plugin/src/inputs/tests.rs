//! From what an IPAM gave to routes.

use std::net::IpAddr;

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
