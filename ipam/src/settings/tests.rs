//! Which `ipam` sections are read, refused and with what words.

use cni::{Args, NetworkConfig, Verb};
use serde_json::{Value, json};

use super::*;

fn request(config: Value, args: &str) -> Request {
    let mut config = config;
    let object = config.as_object_mut().unwrap();
    object.entry("cniVersion").or_insert_with(|| "1.0.0".into());
    object.entry("name").or_insert_with(|| "net".into());
    Request {
        config: NetworkConfig::parse(config.to_string().as_bytes(), Verb::Add).unwrap(),
        args: Args::parse(args).unwrap(),
        path: Vec::new(),
        environment: Vec::new(),
        stdin: Vec::new(),
    }
}

fn read(ipam: Value) -> Result<Settings, String> {
    let said = |error: Error| format!("{} {}", error.code.number(), error.msg);
    Settings::from_request(&request(json!({ "ipam": ipam }), "")).map_err(said)
}

fn sets(settings: &Settings) -> Vec<String> {
    settings.want.asked.iter().map(|asked| asked.set.to_string()).collect()
}

#[test]
fn what_is_absent_has_its_default() {
    let settings = read(json!({"ranges": [[{"subnet": "10.1.2.0/24"}]], "routes": null, "resolvConf": ""})).unwrap();
    assert_eq!(settings.place.store(), Path::new("/run/podlan/net/store"));
    assert_eq!(settings.place.lock_timeout, Duration::from_secs(10));
    assert_eq!((settings.want.cooldown, settings.want.require), (DEFAULT_COOLDOWN, Require::Both));
    assert_eq!((settings.routes.len(), settings.dns.is_empty()), (0, true));
}

/// H-079, D-10.
#[test]
fn the_runtimes_ranges_come_first_then_the_top_level_then_ranges() {
    let config = json!({
        "runtimeConfig": {"IPRanges": [[{"subnet": "10.3.0.0/24"}], [{"Subnet": "2001:db8:3::/64"}]]},
        "ipam": {"subnet": "10.2.0.0/24", "rangeStart": "10.2.0.9", "ranges": [[{"subnet": "10.1.0.0/24"}]]},
    });
    let settings = Settings::from_request(&request(config, "")).unwrap();
    let v6 = "2001:db8:3::1-2001:db8:3:0:ffff:ffff:ffff:ffff";
    assert_eq!(sets(&settings), ["10.3.0.1-10.3.0.254", v6, "10.2.0.9-10.2.0.254", "10.1.0.1-10.1.0.254"]);
}

/// D-09, H-078.
#[test]
fn the_runtimes_addresses_win_over_args_and_those_over_cni_args() {
    let asked = |runtime: Value, args: Value| {
        let ipam = json!({"subnet": "10.1.2.0/24"});
        let config = json!({"ipam": ipam, "runtimeConfig": {"ips": runtime}, "args": {"cni": {"ips": args}}});
        let settings = Settings::from_request(&request(config, "IP=10.1.2.11/24")).unwrap();
        settings.want.asked[0].address.unwrap().to_string()
    };
    assert_eq!(asked(json!(["10.1.2.9/24"]), json!(["10.1.2.10"])), "10.1.2.9");
    assert_eq!(asked(json!(null), json!(["10.1.2.10"])), "10.1.2.10");
    assert_eq!(asked(json!(null), json!(null)), "10.1.2.11");
}

/// H-090 to H-097.
#[test]
fn what_cannot_be_is_refused_with_the_known_text() {
    let set = |ranges: Value| read(json!({ "ranges": ranges })).map(drop).unwrap_err();
    let two = |one: &str, other: &str| json!([{"subnet": one}, {"subnet": other}]);
    assert_eq!(
        set(json!([[{"subnet": "192.0.2.12/24"}]])),
        "7 invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 192.0.2.0"
    );
    assert_eq!(
        set(json!([[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}]])),
        "7 invalid range set 0: RangeStart 10.2.0.1 not in network 10.1.0.0/24"
    );
    assert_eq!(
        set(json!([two("10.1.0.0/22", "10.1.2.0/24")])),
        "7 invalid range set 0: subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap"
    );
    let overlap = json!([[{"subnet": "10.1.0.0/22"}], [{"subnet": "10.1.2.0/24"}]]);
    assert_eq!(set(overlap), "7 range set 0 overlaps with 1");
    assert_eq!(set(json!([two("10.1.0.0/24", "fd00::/64")])), "7 invalid range set 0: mixed address families");
    assert_eq!(set(json!([[]])), "7 invalid range set 0: empty range set");
    assert_eq!(set(json!([[{"subnet": "10.1.0/24"}]])), "7 ipam.ranges[0][0].subnet: invalid CIDR address 10.1.0/24");
    assert_eq!(set(json!([[{}]])), "7 ipam.ranges[0][0].subnet: missing");
    assert_eq!(set(json!([{"subnet": "10.1.0.0/24"}])), "7 ipam.ranges[0]: must be a list of ranges");
    assert_eq!(set(json!(null)), "7 no IP ranges specified");
    let without = Settings::from_request(&request(json!({}), "")).unwrap_err();
    assert_eq!(without.msg, "IPAM config missing 'ipam' key");
    let many: Vec<_> = (0..17).map(|third| json!([{"subnet": format!("10.0.{third}.0/24")}])).collect();
    assert!(set(json!(many)).starts_with("7 17 range sets"));
}

#[test]
fn keys_of_our_own_are_judged_too() {
    let with = |key: &str, value: Value| read(json!({"subnet": "10.1.0.0/24", key: value}));
    assert_eq!(with("require", json!("prefer")).unwrap().want.require, Require::Prefer);
    assert_eq!(with("cooldown", json!(0)).unwrap().want.cooldown, Duration::ZERO);
    assert!(with("require", json!("any")).unwrap_err().starts_with("7 ipam.require"));
    assert!(with("dataDir", json!("run/podlan")).unwrap_err().starts_with("7 ipam.dataDir"));
    assert!(with("resolvConf", json!("/nowhere/resolv.conf")).unwrap_err().starts_with("5 resolvConf /nowhere"));
    assert!(with("routes", json!([{"gw": "10.1.0.1"}])).unwrap_err().starts_with("7 ipam.routes[0].dst"));
    let routes = with("routes", json!([{"dst": "10.0.0.7/8", "gw": "10.1.0.1"}])).unwrap().routes;
    assert_eq!(routes, [Route::via("10.0.0.0/8".parse().unwrap(), Some("10.1.0.1".parse().unwrap()))]);
}

/// H-048, H-075.
#[test]
fn an_old_version_has_room_for_one_address_of_each_family() {
    let ranges = json!([[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}], [{"subnet": "fd01::/64"}]]);
    let config = json!({"cniVersion": "0.2.0", "ipam": {"ranges": ranges}});
    let error = Settings::from_request(&request(config, "")).unwrap_err();
    assert_eq!(error.msg, "CNI version 0.2.0 does not support more than 1 address per family");
}

/// E-54.
#[test]
fn del_and_gc_need_no_sound_ranges() {
    let place = |config: Value| Place::from_request(&request(config, "")).unwrap().directory();
    assert_eq!(place(json!({"ipam": {"ranges": [[]], "dataDir": "/d"}})), Path::new("/d/net"));
    assert_eq!(place(json!({"ipam": {"subnet": "nonsense"}})), Path::new("/run/podlan/net"));
    assert_eq!(place(json!({})), Path::new("/run/podlan/net"));
}

/// Any `ipam` section is refused or read; what is read asks for addresses of its ranges alone.
#[test]
fn fuzz_any_section_is_read_or_refused() {
    fuzz::run("ipam-section", |config| {
        let Ok(mut config) = NetworkConfig::parse(config, Verb::Add) else { return };
        // Which file that is, is the operator's word; what it holds is another target's.
        if let Some(ipam) = config.raw.get_mut("ipam").and_then(Value::as_object_mut) {
            ipam.remove("resolvConf");
        }
        let none = (Args::default(), Vec::new(), Vec::new(), Vec::new());
        let (args, path, environment, stdin) = none;
        let Ok(settings) = Settings::from_request(&Request { config, args, path, environment, stdin }) else { return };
        assert!(settings.place.data_dir.is_absolute());
        for asked in &settings.want.asked {
            for range in asked.set.ranges() {
                assert!(range.contains(range.start()) && range.contains(range.end()) && range.start() <= range.end());
                assert!(range.subnet().contains(range.start()) && range.subnet().contains(range.end()));
                assert!(range.gateway().is_none_or(|gateway| range.reserves(gateway)));
            }
            if let Some(address) = asked.address {
                assert!(asked.set.range_of(address).is_some_and(|range| !range.reserves(address)));
            }
        }
    });
}
