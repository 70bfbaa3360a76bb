//! Bad input is refused with its code and a message that names the fault, and leaves nothing behind.
//!
//! ```text
//!   node1, with room for one pod
//!     └── web, whose every ADD fails but the last
//! ```

use podlan_conformance::lab::{Command, Error, Lab, Node, Pod, within};
use serde_json::{Value, json};

/// A network with one free address in each family.
fn room_for_one(node: &Node) -> Value {
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/30" }], [{ "subnet": "fd00:10:244:1::/126" }]]);
    config
}

/// An ADD of a valid config with one change; its error has one of the codes and names `names`.
struct Case {
    what: &'static str,
    change: fn(Command) -> Command,
    codes: &'static [u64],
    names: &'static str,
}

/// Runs each case, which must fail and leave the node and the pod unchanged; a valid ADD must then get the only
/// address, so no failed ADD kept it.
fn each_fails_and_leaves_nothing(cases: &[Case]) -> Result<(), Error> {
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let config = room_for_one(node);
    let web = node.pod("web")?;
    let (node_before, pod_before) = (node.network()?, web.network()?);
    let mut wrong = Vec::new();
    for case in cases {
        let output = (case.change)(web.cni("ADD", "eth0", &config)?).run()?;
        let story = output.report();
        let complaint = output.complaint();
        let fits = |complaint: &podlan_conformance::lab::Complaint| {
            case.codes.contains(&complaint.code) && complaint.text.contains(case.names)
        };
        if !complaint.as_ref().is_ok_and(fits) {
            wrong.push(format!("{}: wanted code {:?} naming {:?}:\n{story}", case.what, case.codes, case.names));
        }
        let left = [node.network()?.since(&node_before), web.network()?.since(&pod_before), forwarding(node)].concat();
        if !left.is_empty() {
            wrong.push(format!("{}: left behind:\n{left}", case.what));
            web.del(&config)?;
        }
    }
    if let Err(error) = web.add(&config) {
        wrong.push(format!("a failed ADD kept the only address: {error}"));
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}

/// Whether the node forwards: bad input is refused before forwarding is switched on.
fn forwarding(node: &Node) -> String {
    let switches = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];
    let on = |path: &&str| node.sysctl(path).is_ok_and(|value| value != "0");
    switches.iter().filter(|path| on(path)).map(|path| format!("{path} is on\n")).collect()
}

/// The valid config with one key changed, as stdin.
fn with(command: Command, path: &str, value: Value) -> Command {
    let mut config: Value = serde_json::from_slice(command.stdin_bytes()).unwrap_or_default();
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    if let Some(object) = config.pointer_mut(parent).and_then(Value::as_object_mut) {
        object.insert(key.to_owned(), value);
    }
    command.stdin(config.to_string())
}

#[test]
fn a_bad_environment_is_named() {
    within(|| {
        each_fails_and_leaves_nothing(&[
            Case {
                what: "E-01 lower case verb",
                change: |add| add.env("CNI_COMMAND", "add"),
                codes: &[4],
                names: "CNI_COMMAND",
            },
            Case {
                what: "no container id",
                change: |add| add.without_env("CNI_CONTAINERID"),
                codes: &[4],
                names: "CNI_CONTAINERID",
            },
            Case {
                what: "E-02 a path as container id",
                change: |add| add.env("CNI_CONTAINERID", "../../etc"),
                codes: &[4],
                names: "../../etc",
            },
            Case {
                what: "E-02 a dash first",
                change: |add| add.env("CNI_CONTAINERID", "-x"),
                codes: &[4],
                names: "-x",
            },
            Case { what: "no ifname", change: |add| add.without_env("CNI_IFNAME"), codes: &[4], names: "CNI_IFNAME" },
            Case {
                what: "E-04 ifname of 16 bytes",
                change: |add| add.env("CNI_IFNAME", "sixteen-bytes-xx"),
                codes: &[4],
                names: "interface name",
            },
            Case {
                what: "E-04 the loopback",
                change: |add| add.env("CNI_IFNAME", "lo"),
                codes: &[4, 100],
                names: "lo",
            },
            Case {
                what: "E-05 a template as ifname",
                change: |add| add.env("CNI_IFNAME", "eth%d"),
                codes: &[4],
                names: "eth%d",
            },
            Case {
                what: "a slash in the ifname",
                change: |add| add.env("CNI_IFNAME", "a/b"),
                codes: &[4],
                names: "a/b",
            },
            Case { what: "no netns", change: |add| add.without_env("CNI_NETNS"), codes: &[4], names: "CNI_NETNS" },
            Case {
                what: "E-18 a netns that is not there",
                change: |add| add.env("CNI_NETNS", "/run/netns/nobody"),
                codes: &[4],
                names: "/run/netns/nobody",
            },
            Case {
                what: "E-19 a plain file",
                change: |add| add.env("CNI_NETNS", Lab::NODES_FILE),
                codes: &[4],
                names: Lab::NODES_FILE,
            },
            Case {
                what: "E-19 a folder",
                change: |add| add.env("CNI_NETNS", "/run/netns"),
                codes: &[4],
                names: "/run/netns",
            },
            Case {
                what: "E-19 a namespace of another kind",
                change: |add| add.env("CNI_NETNS", "/proc/self/ns/uts"),
                codes: &[4],
                names: "/proc/self/ns/uts",
            },
            Case {
                what: "E-20 the node's own netns",
                change: |add| add.env("CNI_NETNS", "/proc/self/ns/net"),
                codes: &[4],
                names: "/proc/self/ns/net",
            },
            Case {
                what: "E-16 unreadable args",
                change: |add| add.env("CNI_ARGS", "K8S_POD_NAME"),
                codes: &[4],
                names: "CNI_ARGS",
            },
        ])
    });
}

#[test]
fn a_bad_stdin_is_named() {
    within(|| {
        each_fails_and_leaves_nothing(&[
            Case { what: "E-06 nothing", change: |add| add.stdin(""), codes: &[6], names: "" },
            Case { what: "E-06 garbage", change: |add| add.stdin("garbage"), codes: &[6], names: "" },
            Case {
                what: "E-06 half of it",
                change: |add| {
                    let half = add.stdin_bytes().len() / 2;
                    let stdin = add.stdin_bytes()[..half].to_vec();
                    add.stdin(stdin)
                },
                codes: &[6],
                names: "",
            },
            Case { what: "E-09 deep nesting", change: |add| add.stdin("[".repeat(20_000)), codes: &[6], names: "" },
            Case {
                what: "E-10 trailing bytes",
                change: |add| {
                    let stdin = [add.stdin_bytes(), b"}"].concat();
                    add.stdin(stdin)
                },
                codes: &[6],
                names: "",
            },
            Case {
                what: "E-10 no UTF-8",
                change: |add| add.stdin(*b"{\"cniVersion\":\"1.0.0\",\"name\":\"\xff\"}"),
                codes: &[6],
                names: "",
            },
            Case { what: "an array", change: |add| add.stdin("[]"), codes: &[6], names: "" },
            Case {
                what: "E-11 a version of the future",
                change: |add| with(add, "/cniVersion", json!("9.9.9")),
                codes: &[1],
                names: "9.9.9",
            },
            Case {
                what: "E-11 a number as version",
                change: |add| with(add, "/cniVersion", json!(1)),
                codes: &[6],
                names: "cniVersion",
            },
            Case { what: "no name", change: |add| with(add, "/name", Value::Null), codes: &[7], names: "name" },
            Case {
                what: "a path as name",
                change: |add| with(add, "/name", json!("../x")),
                codes: &[7],
                names: "../x",
            },
        ])
    });
}

#[test]
fn a_bad_config_is_named() {
    within(|| {
        each_fails_and_leaves_nothing(&[
            Case { what: "no ipam", change: |add| with(add, "/ipam", Value::Null), codes: &[7], names: "ipam" },
            Case {
                what: "another ipam",
                change: |add| with(add, "/ipam/type", json!("nobodys-ipam")),
                codes: &[5, 7],
                names: "nobodys-ipam",
            },
            Case { what: "no ranges", change: |add| with(add, "/ipam/ranges", json!([])), codes: &[7], names: "range" },
            Case {
                what: "a subnet that is none",
                change: |add| with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/33" }]])),
                codes: &[6, 7],
                names: "10.244.1.0/33",
            },
            Case {
                what: "a start outside",
                change: |add| {
                    with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/24", "rangeStart": "10.9.9.9" }]]))
                },
                codes: &[7],
                names: "10.9.9.9",
            },
            Case {
                what: "ranges that overlap",
                change: |add| {
                    with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/24" }], [{ "subnet": "10.244.1.0/25" }]]))
                },
                codes: &[7],
                names: "overlaps",
            },
            Case {
                what: "E-43 a negative mtu",
                change: |add| with(add, "/mtu", json!(-1)),
                codes: &[6, 7],
                names: "mtu",
            },
            Case {
                what: "E-43 an mtu too small for IPv4",
                change: |add| with(add, "/mtu", json!(67)),
                codes: &[7],
                names: "67",
            },
            Case {
                what: "E-43 an mtu too small for IPv6",
                change: |add| with(add, "/mtu", json!(1279)),
                codes: &[7],
                names: "1279",
            },
            Case {
                what: "E-43 an mtu too large",
                change: |add| with(add, "/mtu", json!(65536)),
                codes: &[7],
                names: "65536",
            },
            Case {
                what: "E-10 an mtu in words",
                change: |add| with(add, "/mtu", json!("1500")),
                codes: &[6, 7],
                names: "mtu",
            },
            Case {
                what: "E-31 an address of elsewhere",
                change: |add| with(add, "/runtimeConfig", json!({ "ips": ["10.99.0.1"] })),
                codes: &[7, 101],
                names: "10.99.0.1",
            },
            Case {
                what: "E-31 no address",
                change: |add| with(add, "/runtimeConfig", json!({ "ips": ["ten"] })),
                codes: &[6, 7, 101],
                names: "ten",
            },
            Case {
                what: "E-55 an interface that the chain made",
                change: |add| {
                    with(
                        add,
                        "/prevResult",
                        json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "eth0", "sandbox": "/run/netns/web" }], "ips": [] }),
                    )
                },
                codes: &[100],
                names: "eth0",
            },
        ])
    });
}

#[test]
fn an_existing_link_named_as_the_ifname_is_refused_and_unchanged() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = room_for_one(node);
        let web = node.pod("web")?;
        web.place().occupy("eth0")?;
        let (node_before, pod_before) = (node.network()?, web.network()?);
        let complaint = web.cni("ADD", "eth0", &config)?.run()?.complaint()?;
        assert_eq!(complaint.code, 100, "{complaint:?}");
        assert!(complaint.text.contains("eth0"), "{complaint:?}");
        assert_eq!(node.network()?.since(&node_before), "");
        assert_eq!(web.network()?.since(&pod_before), "");
        fits(node, &config)
    });
}

#[test]
fn a_second_add_of_the_same_attachment_damages_nothing() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        let added = web.add(&node.podnet())?;
        let (node_before, pod_before) = (node.network()?, web.network()?);
        let complaint = web.cni("ADD", "eth0", &node.podnet())?.run()?.complaint()?;
        assert_eq!(complaint.code, 102, "{complaint:?}");
        assert_eq!(node.network()?.since(&node_before), "");
        assert_eq!(web.network()?.since(&pod_before), "");
        web.check(&node.podnet(), &added)
    });
}

#[test]
fn an_exhausted_pool_is_reported_and_has_room_again_after_a_del() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = room_for_one(node);
        let (first, second) = (node.pod("first")?, node.pod("second")?);
        first.add(&config)?;
        let before = node.network()?;
        let complaint = second.cni("ADD", "eth0", &config)?.run()?.complaint()?;
        assert_eq!(complaint.code, 11, "{complaint:?}");
        assert!(complaint.text.contains("no IP addresses available in range set"), "{complaint:?}");
        assert_eq!(node.network()?.since(&before), "");
        first.del(&config)?;
        second.add(&config).map(drop)
    });
}

fn fits(node: &Node, config: &Value) -> Result<(), Error> {
    let next: Pod<'_> = node.pod("next")?;
    next.add(config).map(drop)
}
