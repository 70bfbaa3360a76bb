//! Which configs are read, refused and with what words.

use serde_json::json;

use super::*;

fn read(verb: Verb, mut given: Value) -> Result<NetworkConfig, Error> {
    let fields = given.as_object_mut().unwrap();
    fields.entry("cniVersion").or_insert_with(|| "1.1.0".into());
    fields.entry("name").or_insert_with(|| "net".into());
    NetworkConfig::parse(given.to_string().as_bytes(), verb)
}

fn refused(verb: Verb, given: Value) -> (u32, String) {
    let error = read(verb, given).unwrap_err();
    (error.code.number(), error.to_string())
}

#[test]
fn what_is_no_json_object_is_refused() {
    // H-017, E-06, E-09, E-10
    let deep = "[".repeat(20_000);
    let deep_inside = format!(r#"{{"name":"net","x":{}"#, "[".repeat(200));
    let inputs: [&[u8]; 14] = [
        b"",
        b"garbage",
        b"{",
        b"[]",
        b"5",
        b"\"net\"",
        b"{}{}",
        b"{} x",
        b"\xef\xbb\xbf{}",
        b"{\"name\":\"\xff\"}",
        b"{\"name\":\"a\0\"}",
        b"{\"x\":1e999}",
        deep.as_bytes(),
        deep_inside.as_bytes(),
    ];
    for input in inputs {
        let error = NetworkConfig::parse(input, Verb::Add).unwrap_err();
        assert_eq!(error.code, Code::Decode, "{input:?}");
        assert!(error.msg.starts_with("error unmarshall network config: "), "{error}");
    }
}

#[test]
fn a_network_must_have_a_name() {
    // H-018, H-019
    for input in ["null", "{}", r#"{"name":null}"#, r#"{"name":""}"#] {
        let error = NetworkConfig::parse(input.as_bytes(), Verb::Add).unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (Code::InvalidConfig, "missing network name"), "{input}");
    }
    let (code, text) = refused(Verb::Del, json!({"name": "te%%st"}));
    assert_eq!((code, text.as_str()), (7, "invalid characters found in network name; te%%st"));
    assert_eq!(refused(Verb::Add, json!({"name": 5})), (6, "name: must be a string, not 5".to_owned()));
    assert_eq!(refused(Verb::Add, json!({"name": 5, "cniVersion": 5})).1, "name: must be a string, not 5");
}

#[test]
fn every_version_is_read_and_none_means_the_first() {
    // H-021, H-035, E-12
    for version in SpecVersion::ALL {
        assert_eq!(read(Verb::Add, json!({"cniVersion": version.as_str()})).unwrap().version, version);
    }
    for none in [json!(null), json!("")] {
        assert_eq!(read(Verb::Del, json!({"cniVersion": none})).unwrap().version, SpecVersion::V0_1_0);
    }
}

#[test]
fn other_versions_are_refused_with_the_list_of_ours() {
    // H-020, H-022, S-041, S-043, E-11
    for verb in [Verb::Add, Verb::Del, Verb::Check, Verb::Gc, Verb::Status] {
        let supported = r#"["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#;
        let text = format!(r#"incompatible CNI versions; config is "9.9.9", plugin supports {supported}"#);
        assert_eq!(refused(verb, json!({"cniVersion": "9.9.9"})), (1, text));
        assert_eq!(refused(verb, json!({"cniVersion": 1})).0, 6);
        assert_eq!(refused(verb, json!({"cniVersion": "1.1"})).0, 1);
    }
    for (verb, code) in [(Verb::Add, 1), (Verb::Del, 1), (Verb::Check, 6), (Verb::Gc, 6), (Verb::Status, 6)] {
        // H-025
        assert_eq!(refused(verb, json!({"cniVersion": "adsfsadf"})).0, code, "{verb}");
    }
}

#[test]
fn verbs_are_allowed_from_their_version_on() {
    // H-023, H-024, S-071, S-081, S-100
    for verb in [Verb::Add, Verb::Del, Verb::Check, Verb::Gc, Verb::Status] {
        for version in SpecVersion::ALL {
            let outcome = read(verb, json!({"cniVersion": version.as_str()}));
            let Err(error) = outcome else {
                assert!(version >= verb.since(), "{verb} {version}");
                continue;
            };
            assert!(version < verb.since(), "{verb} {version}");
            assert_eq!(error.code, Code::IncompatibleVersion);
            assert_eq!(error.msg, format!("config version does not allow {verb}"));
        }
    }
    assert_eq!(Verb::Check.since(), SpecVersion::V0_4_0);
    assert_eq!((Verb::Gc.since(), Verb::Status.since()), (SpecVersion::V1_1_0, SpecVersion::V1_1_0));
}

#[test]
fn mistyped_fields_are_named() {
    // D-11, E-10, S-015
    for (field, value, code) in [
        ("type", json!(1), 6),
        ("type", json!("../podlan"), 7),
        ("dns", json!([]), 6),
        ("dns", json!({"search": "a"}), 6),
        ("ipMasq", json!("true"), 6),
        ("ipam", json!("host-local"), 6),
        ("prevResult", json!("x"), 6),
        ("runtimeConfig", json!([]), 6),
        ("runtimeConfig", json!({"ips": "10.0.0.1"}), 7),
        ("runtimeConfig", json!({"ips": ["10.0.0.300"]}), 7),
        ("runtimeConfig", json!({"mac": "zz"}), 7),
        ("runtimeConfig", json!({"mac": 5}), 7),
        ("runtimeConfig", json!({"ipRanges": {}}), 7),
        ("runtimeConfig", json!({"DNS": {"Servers": [5]}}), 7),
    ] {
        for verb in [Verb::Add, Verb::Check, Verb::Status] {
            let (got, text) = refused(verb, json!({field: value.clone()}));
            assert_eq!(got, code, "{field} {value}: {text}");
            assert!(text.starts_with(field), "{text}");
        }
        for verb in [Verb::Del, Verb::Gc] {
            // S-055, E-15, E-54: what was never attached can still be cleaned up.
            assert!(read(verb, json!({field: value.clone()})).is_ok(), "{verb} {field} {value}");
        }
    }
}

#[test]
fn null_and_unknown_fields_do_not_matter() {
    // E-13, S-010, S-112, S-114, H-046
    let given = json!({
        "type": null, "dns": null, "ipMasq": null, "ipam": null, "prevResult": null, "runtimeConfig": null,
        "args": null, "capabilities": {"ips": true}, "cniVersions": ["1.1.0"], "disableGC": 7, "x": {"y": null},
        "cni.dev/later": 1, "routes": null, "resolvConf": "",
    });
    for verb in [Verb::Add, Verb::Check, Verb::Del, Verb::Status, Verb::Gc] {
        let config = read(verb, given.clone()).unwrap();
        assert_eq!((config.plugin_type.as_deref(), &config.dns, config.ip_masq), (None, &None, false));
        assert_eq!((config.runtime.clone(), config.args.clone()), Default::default());
        assert!(config.ipam().is_none() && config.previous_result().unwrap().is_none());
        assert_eq!(config.raw["x"], json!({"y": null}));
    }
}

#[test]
fn capabilities_are_read_in_the_case_that_containerd_uses() {
    // D-10, E-14, C-1, H-051, S-182, S-185
    let given = json!({"RuntimeConfig": {
        "IPs": ["10.1.2.3/24", "fd00::3"], "Mac": "02:00:00:00:00:01", "IPRanges": [[{"Subnet": "10.1.2.0/24"}]],
        "dns": {"Servers": ["10.96.0.10"], "Searches": null, "Options": null},
        "PortMappings": [
            {"HostPort": 80, "ContainerPort": 8080, "Protocol": "UDP", "HostIP": "192.0.2.1"},
            {"hostPort": 65535, "containerPort": 1, "hostIP": ""},
        ], "Bandwidth": {"IngressRate": 1}, "cgroupPath": "/x", "aliases": 5,
    }});
    let runtime = read(Verb::Add, given).unwrap().runtime;
    assert_eq!(runtime.ips, ["10.1.2.3", "fd00::3"].map(|text| text.parse::<std::net::IpAddr>().unwrap()));
    assert_eq!(runtime.mac.unwrap().to_string(), "02:00:00:00:00:01");
    assert_eq!(runtime.ip_ranges.unwrap(), [json!([{"Subnet": "10.1.2.0/24"}])]);
    assert_eq!(runtime.dns.unwrap().nameservers, ["10.96.0.10"]);
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    let host_ip = "192.0.2.1".parse().ok();
    assert_eq!(
        runtime.port_mappings,
        [
            PortMapping { protocol: udp, host_ip, host_port: 80, container_port: 8080 },
            PortMapping { protocol: tcp, host_ip: None, host_port: 65535, container_port: 1 },
        ]
    );
    assert_eq!(runtime.foreign, ["bandwidth"]);
}

#[test]
fn a_port_mapping_that_cannot_be_is_refused_and_names_its_field() {
    // S-181
    for (mapping, field) in [
        (json!({"containerPort": 80}), "runtimeConfig.portMappings[0].hostPort: missing"),
        (
            json!({"hostPort": 0, "containerPort": 80}),
            "runtimeConfig.portMappings[0].hostPort: 0 is not from 1 to 65535",
        ),
        (json!({"hostPort": 80, "containerPort": 65536}), "[0].containerPort: 65536 is not"),
        (json!({"hostPort": 80, "containerPort": 80, "protocol": "icmp"}), "invalid protocol (tcp, udp, sctp) icmp"),
        (json!({"hostPort": 80, "containerPort": 80, "hostIP": "node1"}), "[0].hostIP: invalid IP address node1"),
        (json!({"hostPort": "80", "containerPort": 80}), "[0].hostPort: must be a whole number"),
    ] {
        let (code, text) = refused(Verb::Add, json!({"runtimeConfig": {"portMappings": [mapping]}}));
        assert!(code == 7 && text.contains(field), "{code} {text}");
        let lenient = json!({"runtimeConfig": {"portMappings": [mapping]}});
        assert!(read(Verb::Del, lenient).unwrap().runtime.port_mappings.is_empty());
    }
}

#[test]
fn args_are_never_an_error() {
    // S-186, S-187
    for args in [json!(5), json!([]), json!({"cni": "x"}), json!({"cni": {"ips": 5, "mac": []}, "other": 1})] {
        assert_eq!(read(Verb::Add, json!({"args": args})).unwrap().args, CniArgs::default());
    }
    let args = read(
        Verb::Add,
        json!({"args": {"cni": {"ips": ["10.2.2.42/24", 7, "x", "2001:db8::5"], "mac": "02:00:00:00:00:02"}}}),
    );
    let args = args.unwrap().args;
    assert_eq!(args.ips, ["10.2.2.42", "2001:db8::5"].map(|text| text.parse::<std::net::IpAddr>().unwrap()));
    assert!(args.mac.is_some());
}

#[test]
fn a_key_that_occurs_twice_has_its_last_value() {
    // E-10
    let config = NetworkConfig::parse(br#"{"name":"a","name":"b","cniVersion":"1.0.0"}"#, Verb::Add).unwrap();
    assert_eq!(config.name.as_str(), "b");
}

#[test]
fn the_previous_result_is_read_in_its_own_version() {
    // S-113, S-154, H-102, E-15
    let old = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.2.3/24"}});
    let unnamed = json!({"ips": [{"address": "10.1.2.3/24"}]});
    for previous in [old, unnamed] {
        let result = read(Verb::Check, json!({"prevResult": previous})).unwrap().previous_result().unwrap().unwrap();
        assert_eq!(result.ips[0].address.to_string(), "10.1.2.3/24");
    }
    for bad in [json!({"ips": 5}), json!({"cniVersion": "9"}), json!({"ips": [{"address": "10.1.2.3"}]})] {
        let error = read(Verb::Add, json!({"prevResult": bad})).unwrap().previous_result().unwrap_err();
        assert_eq!(error.code, Code::Decode);
        assert!(error.msg.starts_with("prevResult: "), "{error}");
    }
}

fn valid(given: Value) -> Result<Vec<String>, (u32, String)> {
    let all = read(Verb::Gc, given).unwrap().valid_attachments();
    let all = all.map_err(|error| (error.code.number(), error.to_string()))?;
    Ok(all.iter().map(|one| format!("{}/{}", one.container_id, one.ifname)).collect())
}

#[test]
fn gc_keeps_the_union_of_both_lists() {
    // D-07, D-08, E-70
    let (one, two) = (json!({"containerID": "c1", "ifname": "eth0"}), json!({"containerID": "c1", "ifname": "net1"}));
    let both = json!({"cni.dev/valid-attachments": [one], "cni.dev/attachments": [two, one]});
    assert_eq!(valid(both).unwrap(), ["c1/eth0", "c1/net1"]);
    let strange = json!({"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0", "netns": 5}]});
    assert_eq!(valid(strange).unwrap(), ["c1/eth0"]);
    for empty in [json!(null), json!([])] {
        assert_eq!(valid(json!({"cni.dev/valid-attachments": empty})), Ok(vec![]));
        assert_eq!(valid(json!({"cni.dev/attachments": empty})), Ok(vec![]));
    }
}

#[test]
fn gc_without_a_sound_list_is_refused() {
    // D-07, E-70
    let (code, text) = valid(json!({})).unwrap_err();
    assert_eq!((code, text.as_str()), (7, "cni.dev/valid-attachments is missing; nothing was removed"));
    for (entries, code) in [
        (json!({}), 6),
        (json!("x"), 6),
        (json!([5]), 6),
        (json!([null]), 6),
        (json!([{"containerID": 5, "ifname": "eth0"}]), 6),
        (json!([{"containerID": "c1"}]), 7),
        (json!([{"ifname": "eth0"}]), 7),
        (json!([{"containerID": "a/b", "ifname": "eth0"}]), 7),
        (json!([{"containerID": "c1", "ifname": ""}]), 7),
    ] {
        for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
            let (got, text) = valid(json!({key: entries})).unwrap_err();
            assert_eq!(got, code, "{text}");
            assert!(text.contains(key), "{text}");
        }
    }
}
