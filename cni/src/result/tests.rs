//! Results of all versions: their exact text, the way back, and what no version can say.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{SpecVersion, canonical, parse_network};

fn network(text: &str) -> IpNetwork {
    parse_network(text).unwrap()
}

fn pod() -> AddResult {
    let mac = |last: u8| Some(format!("02:00:00:00:00:{last:02x}"));
    let host = Interface { mac: mac(1), mtu: Some(1500), ..Interface::named("podx") };
    let eth0 =
        Interface { mac: mac(2), mtu: Some(1500), sandbox: Some("/run/netns/x".into()), ..Interface::named("eth0") };
    let ip = |address: &str, gateway: &str| IpConfig {
        address: network(address),
        gateway: Some(gateway.parse().unwrap()),
        interface: Some(0),
    };
    AddResult {
        interfaces: vec![host, eth0],
        ips: vec![ip("10.1.2.5/24", "10.1.2.1"), ip("fd00::5/64", "fd00::1")],
        routes: vec![
            Route {
                mtu: Some(1400),
                table: Some(0),
                scope: Some(0),
                ..Route::via(network("0.0.0.0/0"), "10.1.2.1".parse().ok())
            },
            Route::via(network("fd01::9/48"), None),
        ],
        dns: Dns { nameservers: vec!["10.96.0.10".into()], ..Dns::default() },
    }
}

fn printed(result: &AddResult, version: SpecVersion) -> Value {
    serde_json::from_str(&result.to_json(version).unwrap()).unwrap()
}

#[test]
fn before_0_3_0_a_result_has_one_object_for_each_family() {
    // S-142, S-143, H-030, H-031
    for version in [SpecVersion::V0_1_0, SpecVersion::V0_2_0] {
        let expected = json!({
            "cniVersion": version.as_str(),
            "ip4": {"ip": "10.1.2.5/24", "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}]},
            "ip6": {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "fd01::/48"}]},
            "dns": {"nameservers": ["10.96.0.10"]},
        });
        assert_eq!(printed(&pod(), version), expected);
    }
}

#[test]
fn from_0_3_0_to_0_4_0_addresses_name_their_family() {
    // S-147..S-150, H-030, H-032
    for version in [SpecVersion::V0_3_0, SpecVersion::V0_3_1, SpecVersion::V0_4_0] {
        let expected = json!({
            "cniVersion": version.as_str(),
            "interfaces": [
                {"name": "podx", "mac": "02:00:00:00:00:01"},
                {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/x"},
            ],
            "ips": [
                {"version": "4", "interface": 0, "address": "10.1.2.5/24", "gateway": "10.1.2.1"},
                {"version": "6", "interface": 0, "address": "fd00::5/64", "gateway": "fd00::1"},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}, {"dst": "fd01::/48"}],
            "dns": {"nameservers": ["10.96.0.10"]},
        });
        assert_eq!(printed(&pod(), version), expected);
    }
}

#[test]
fn from_1_0_0_on_they_do_not_and_1_1_0_adds_attributes() {
    // S-130, S-137, S-151, S-152, D-13, H-033, H-034
    let old = printed(&pod(), SpecVersion::V1_0_0);
    assert_eq!(old["ips"][0], json!({"interface": 0, "address": "10.1.2.5/24", "gateway": "10.1.2.1"}));
    assert_eq!(old["interfaces"][0], json!({"name": "podx", "mac": "02:00:00:00:00:01"}));
    assert_eq!(old["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "10.1.2.1"}));
    let new = printed(&pod(), SpecVersion::V1_1_0);
    assert_eq!(new["ips"], old["ips"]);
    assert_eq!(new["interfaces"][0], json!({"name": "podx", "mac": "02:00:00:00:00:01", "mtu": 1500}));
    let route = json!({"dst": "0.0.0.0/0", "gw": "10.1.2.1", "mtu": 1400, "table": 0, "scope": 0});
    assert_eq!(new["routes"][0], route);
}

#[test]
fn an_ipam_result_has_no_interfaces() {
    // S-121, S-123
    let ip = IpConfig { address: network("10.1.2.5/24"), gateway: None, interface: None };
    let result = AddResult { ips: vec![ip], ..AddResult::default() };
    assert_eq!(
        result.to_json(SpecVersion::V1_1_0).unwrap(),
        r#"{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.5/24"}]}"#
    );
    assert_eq!(printed(&result, SpecVersion::V0_4_0)["dns"], json!({}));
    assert_eq!(printed(&result, SpecVersion::V0_1_0)["dns"], json!({}));
}

#[test]
fn old_versions_refuse_what_they_cannot_say() {
    // S-144, S-145, H-048, H-075
    let mut result = pod();
    result.ips.push(IpConfig { address: network("fd01::5/64"), gateway: None, interface: None });
    for version in SpecVersion::ALL {
        let many = result.to_json(version).map_err(|error| error.msg);
        let none = AddResult::default().to_json(version).map_err(|error| error.msg);
        if version.has_interfaces() {
            assert!(many.is_ok() && none.is_ok(), "{version}");
            continue;
        }
        assert_eq!(many, Err(format!("CNI version {version} does not support more than 1 address per family")));
        assert_eq!(none, Err("cannot convert: no valid IP addresses".to_owned()));
    }
}

#[test]
fn a_route_of_a_family_without_an_address_is_left_out_of_old_results() {
    // S-143
    let mut result = pod();
    result.ips.truncate(1);
    let printed = printed(&result, SpecVersion::V0_2_0);
    assert_eq!(printed["ip4"]["routes"].as_array().map(Vec::len), Some(1));
    assert_eq!(printed.get("ip6"), None);
}

#[test]
fn old_results_are_read_v4_first() {
    // S-153
    let value = json!({
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "ip4": {"ip": "10.1.2.5/24", "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "interfaces": 5,
    });
    let result = AddResult::from_value(&value, SpecVersion::V0_2_0).unwrap();
    let ips: Vec<String> = result.ips.iter().map(|ip| ip.address.to_string()).collect();
    let routes: Vec<String> = result.routes.iter().map(|route| route.dst.to_string()).collect();
    assert_eq!(
        (ips, routes),
        (vec!["10.1.2.5/24".into(), "fd00::5/64".into()], vec!["0.0.0.0/0".into(), "::/0".into()])
    );
    assert!(result.interfaces.is_empty());
}

#[test]
fn the_label_decides_how_a_result_is_read() {
    // S-113, S-154, S-155
    let named = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.2.5/24"}});
    assert_eq!(AddResult::from_value(&named, SpecVersion::V1_1_0).unwrap().ips.len(), 1);
    let unnamed = json!({"cniVersion": "", "ips": [{"address": "10.1.2.5/24"}]});
    assert_eq!(AddResult::from_value(&unnamed, SpecVersion::V1_0_0).unwrap().ips.len(), 1);
    let mtu = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "mtu": "no number"}]});
    assert_eq!(AddResult::from_value(&mtu, SpecVersion::V1_1_0).unwrap().interfaces, [Interface::named("eth0")]);
}

#[test]
fn what_is_no_result_is_refused_with_code_6() {
    // H-064, E-15
    for value in [
        json!(null),
        json!([]),
        json!({"cniVersion": 5}),
        json!({"cniVersion": "1.2.0"}),
        json!({"ips": {}}),
        json!({"ips": [{}]}),
        json!({"ips": [{"address": "10.1.2.5"}]}),
        json!({"ips": [{"address": "10.1.2.5/24", "interface": 0}]}),
        json!({"interfaces": [{"name": "a"}], "ips": [{"address": "10.1.2.5/24", "interface": 1}]}),
        json!({"interfaces": [{"name": "a"}], "ips": [{"address": "10.1.2.5/24", "interface": -1}]}),
        json!({"interfaces": [{"name": "a"}], "ips": [{"address": "10.1.2.5/24", "interface": "0"}]}),
        json!({"interfaces": [{"mac": "x"}]}),
        json!({"interfaces": [{"name": "a", "mtu": -1}]}),
        json!({"routes": [{"dst": "default"}]}),
        json!({"routes": [{"gw": "10.0.0.1"}]}),
        json!({"routes": [{"dst": "0.0.0.0/0", "table": 1.5}]}),
        json!({"dns": {"nameservers": "x"}}),
        json!({"cniVersion": "0.1.0", "ip4": {}}),
        json!({"cniVersion": "0.1.0", "ip4": {"ip": "fd00::1/64"}}),
    ] {
        let error = AddResult::from_value(&value, SpecVersion::V1_1_0).unwrap_err();
        assert_eq!(error.code.number(), 6, "{value}: {error}");
    }
}

/// What is left of a result when a version says it.
fn restricted(result: &AddResult, version: SpecVersion) -> AddResult {
    let mut left = result.clone();
    for route in &mut left.routes {
        route.dst = canonical(route.dst);
    }
    if version < SpecVersion::V1_1_0 {
        for interface in &mut left.interfaces {
            *interface = Interface { mtu: None, socket_path: None, pci_id: None, ..interface.clone() };
        }
        left.routes = left.routes.iter().map(|route| Route::via(route.dst, route.gw)).collect();
    }
    if version < SpecVersion::V0_3_0 {
        left.interfaces.clear();
        for ip in &mut left.ips {
            ip.interface = None;
        }
        // Sorting is stable: v4 first, and each family in its order.
        left.ips.sort_by_key(|ip| ip.address.is_ipv6());
        left.routes.sort_by_key(|route| route.dst.is_ipv6());
        let families: Vec<bool> = left.ips.iter().map(|ip| ip.address.is_ipv6()).collect();
        left.routes.retain(|route| families.contains(&route.dst.is_ipv6()));
    }
    left
}

fn any_network() -> impl Strategy<Value = IpNetwork> {
    (any::<IpAddr>(), 0u8..=128).prop_map(|(ip, prefix)| {
        let prefix = if ip.is_ipv4() { prefix.min(32) } else { prefix };
        IpNetwork::new(ip, prefix).unwrap()
    })
}

/// An address that is its own canonical form: no IPv4 in IPv6.
fn any_address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_map(|ip| ip.to_canonical())
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 1..6).prop_map(String::from_iter)
}

prop_compose! {
    fn any_interface()(
        name in text(), mac in proptest::option::of(text()), mtu: Option<u32>,
        sandbox in proptest::option::of(text()), socket_path in proptest::option::of(text()),
        pci_id in proptest::option::of(text()),
    ) -> Interface {
        Interface { name, mac, mtu, sandbox, socket_path, pci_id }
    }
}

prop_compose! {
    fn any_route()(
        dst in any_network(), gw in proptest::option::of(any_address()), mtu: Option<u32>, advmss: Option<u32>,
        priority: Option<u32>, table: Option<u32>, scope: Option<u32>,
    ) -> Route {
        Route { dst, gw, mtu, advmss, priority, table, scope }
    }
}

prop_compose! {
    fn any_result()(interfaces in proptest::collection::vec(any_interface(), 0..4))(
        ips in proptest::collection::vec(
            (any_network(), proptest::option::of(any_address()), proptest::option::of(0..interfaces.len().max(1))), 0..4),
        routes in proptest::collection::vec(any_route(), 0..4),
        nameservers in proptest::collection::vec(text(), 0..3), domain in proptest::option::of(text()),
        interfaces in Just(interfaces),
    ) -> AddResult {
        let inside = |index: &usize| *index < interfaces.len();
        let ips = ips.into_iter()
            .map(|(address, gateway, index)| IpConfig { address, gateway, interface: index.filter(inside) })
            .collect();
        AddResult { ips, routes, dns: Dns { nameservers, domain, ..Dns::default() }, interfaces }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_as_far_as_the_version_goes(result in any_result()) {
        for version in SpecVersion::ALL {
            let Ok(json) = result.to_json(version) else {
                prop_assert!(!version.has_interfaces());
                continue;
            };
            let value: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&value["cniVersion"], version.as_str());
            // The label counts, whatever the caller takes for granted.
            for default in [SpecVersion::V0_1_0, SpecVersion::NEWEST] {
                prop_assert_eq!(AddResult::from_value(&value, default).unwrap(), restricted(&result, version));
            }
        }
    }

    #[test]
    fn going_through_a_newer_version_loses_nothing(result in any_result()) {
        for old in SpecVersion::ALL {
            let Ok(json) = result.to_json(old) else { continue };
            for new in SpecVersion::ALL.into_iter().filter(|new| *new >= old) {
                let there = AddResult::from_value(&serde_json::from_str(&json).unwrap(), old).unwrap();
                let up = serde_json::from_str(&there.to_json(new).unwrap()).unwrap();
                let back = AddResult::from_value(&up, new).unwrap();
                prop_assert_eq!(back.to_json(old).unwrap(), json.clone(), "{} through {}", old, new);
            }
        }
    }

    #[test]
    fn no_version_prints_a_key_that_it_does_not_have(result in any_result()) {
        for version in SpecVersion::ALL {
            let Ok(json) = result.to_json(version) else { continue };
            let value: Value = serde_json::from_str(&json).unwrap();
            let known: &[&str] = if version.has_interfaces() {
                &["cniVersion", "interfaces", "ips", "routes", "dns"]
            } else {
                &["cniVersion", "ip4", "ip6", "dns"]
            };
            for key in value.as_object().unwrap().keys() {
                prop_assert!(known.contains(&key.as_str()), "{} in {}", key, version);
            }
            let ips = value["ips"].as_array().cloned().unwrap_or_default();
            prop_assert!(ips.iter().all(|ip| ip.get("version").is_some() == version.has_address_family()));
            let extra = |list: &str, keys: &[&str]| {
                let list = value[list].as_array().cloned().unwrap_or_default();
                list.iter().any(|one| keys.iter().any(|key| one.get(key).is_some()))
            };
            if version < SpecVersion::V1_1_0 {
                prop_assert!(!extra("interfaces", &["mtu", "socketPath", "pciID"]));
                prop_assert!(!extra("routes", &["mtu", "advmss", "priority", "table", "scope"]));
            }
        }
    }
}
