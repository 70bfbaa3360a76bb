//! The plan as text: what a person would type to make the same link.

use super::*;

const HARDENING: Hardening = Hardening { forward_v4: true, kernel_has_v6: true, route_localnet: false };

fn plan(addresses: &[&str]) -> Plan {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let families = Family::BOTH.into_iter().filter(|family| addresses.iter().any(|address| family.holds(*address)));
    Plan {
        routes: families.map(PodRoute::default_of).collect(),
        addresses: addresses.into_iter().map(IpNetwork::from).collect(),
        host_mac: MacAddress::from([2, 0, 0, 0, 0, 1]),
        pod_mac: MacAddress::from([2, 0, 0, 0, 0, 2]),
        alias: "podlan c1".to_owned(),
        host_source: Vec::new(),
    }
}

fn text(operations: &[Operation]) -> Vec<String> {
    operations.iter().map(|operation| operation.in_words(&|index| index.to_string())).collect()
}

#[test]
fn a_dual_stack_pod_is_reached_by_two_routes() {
    assert_eq!(
        text(&plan(&["10.1.0.5", "fd00::5"]).host_end(7, HARDENING)),
        [
            "harden the link 7 and set its alias",
            "set the link 7 up",
            "add address 169.254.1.1/32 to the link 7",
            "set the probes of IPv4 neighbours on the link 7",
            "add address fe80::1/128 to the link 7",
            "accept packets to fe80::1 on the link 7",
            "set the probes of IPv6 neighbours on the link 7",
            "add route fe80::ff:fe00:2/128 dev 7 metric 7",
            "add route 10.1.0.5/32 dev 7",
            "add route fd00::5/128 dev 7",
        ]
    );
}

#[test]
fn the_node_knows_its_pod_without_asking() {
    assert_eq!(
        text(&plan(&["10.1.0.5", "fd00::5"]).host_neighbours(7)),
        ["add neighbour 10.1.0.5 to the link 7", "add neighbour fd00::5 to the link 7"]
    );
}

#[test]
fn a_dual_stack_pod_leaves_by_two_gateways() {
    assert_eq!(
        text(&plan(&["10.1.0.5", "fd00::5"]).pod_end(2, Occupied::default())),
        [
            "set the link 1 up",
            "set the link 2 up",
            "add address 10.1.0.5/32 to the link 2",
            "add address fd00::5/128 to the link 2",
            "accept packets to fd00::5 on the link 2",
            "add neighbour 169.254.1.1 to the link 2",
            "add route 169.254.1.1/32 dev 2",
            "add route 0.0.0.0/0 via 169.254.1.1 dev 2 onlink",
            "add neighbour fe80::1 to the link 2",
            "add route ::/0 via fe80::1 dev 2 onlink",
        ]
    );
}

#[test]
fn a_pod_of_one_family_has_nothing_of_the_other() {
    for (address, other) in [("10.1.0.5", "::"), ("fd00::5", ".")] {
        let plan = plan(&[address]);
        let mut lines = text(&plan.host_end(7, HARDENING));
        lines.extend(text(&plan.pod_end(2, Occupied::default())));
        assert!(!lines.iter().any(|line| line.contains(other)), "{address}: {lines:?}");
    }
}

#[test]
fn a_second_attachment_answers_by_its_own_table_and_leaves_the_first_ones_default_alone() {
    let second = plan(&["10.2.0.5"]).pod_end(3, Occupied { v4: true, v6: false });
    assert_eq!(
        text(&second)[3..],
        [
            "add neighbour 169.254.1.1 to the link 3",
            "add route 169.254.1.1/32 dev 3 metric 3",
            "add route 0.0.0.0/0 via 169.254.1.1 dev 3 table 11203 onlink",
            "add rule from 10.2.0.5 lookup 11203",
        ]
    );
}

#[test]
fn only_the_family_that_has_a_default_route_is_second() {
    let operations = text(&plan(&["10.2.0.5", "fd00::5"]).pod_end(3, Occupied { v4: false, v6: true }));
    assert!(operations.contains(&"add route 0.0.0.0/0 via 169.254.1.1 dev 3 onlink".to_owned()));
    assert!(operations.contains(&"add route ::/0 via fe80::1 dev 3 table 11203 onlink".to_owned()));
    assert!(operations.contains(&"add rule from fd00::5 lookup 11203".to_owned()));
}

#[test]
fn a_second_attachment_keeps_the_routes_that_were_asked_for() {
    let mut plan = plan(&["10.2.0.5"]);
    let destination = "10.9.0.0/16".parse().unwrap();
    plan.routes = vec![PodRoute { destination, priority: 50, mtu: Some(1300), ..PodRoute::default_of(Family::V4) }];
    let operations = plan.pod_end(3, Occupied { v4: true, v6: false });
    let asked = operations.iter().find_map(|operation| match operation {
        Operation::Route(route) if route.destination == destination => Some(route),
        _ => None,
    });
    let asked = asked.unwrap();
    assert_eq!((asked.metric, asked.mtu, asked.gateway), (50, Some(1300), Some(IpAddr::V4(GATEWAY_V4))));
}

#[test]
fn a_route_on_the_link_has_no_gateway() {
    let mut plan = plan(&["10.2.0.5"]);
    plan.routes = vec![PodRoute { on_link: true, ..PodRoute::default_of(Family::V4) }];
    assert!(text(&plan.pod_end(3, Occupied::default())).contains(&"add route 0.0.0.0/0 dev 3".to_owned()));
}

#[test]
fn the_nodes_source_is_set_for_its_family_alone() {
    let mut plan = plan(&["10.1.0.5", "fd00::5"]);
    plan.host_source = vec!["172.31.0.1".parse().unwrap()];
    let sources: Vec<_> = plan
        .host_end(7, HARDENING)
        .into_iter()
        .filter_map(|operation| match operation {
            Operation::Route(route) => Some(route.source),
            _ => None,
        })
        .collect();
    assert_eq!(sources, [None, Some("172.31.0.1".parse().unwrap()), None], "of the link-local route first");
}

#[test]
fn the_host_end_is_hardened_before_it_is_up_and_up_before_it_is_routed() {
    let operations = plan(&["10.1.0.5", "fd00::5"]).host_end(7, HARDENING);
    let place = |wanted: fn(&Operation) -> bool| operations.iter().position(wanted).unwrap();
    let hardened = place(|operation| matches!(operation, Operation::Harden { .. }));
    let up = place(|operation| matches!(operation, Operation::Up { .. }));
    let routed = place(|operation| matches!(operation, Operation::Route(_)));
    assert!(hardened < up && up < routed);
}
