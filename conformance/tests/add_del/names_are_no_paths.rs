//! No path is built from input before the input is validated: a hostile name appears in no system call, and free text
//! never becomes part of a path. strace shows the calls.
//!
//! ```text
//!   node1
//!     └── web, whose names are hostile
//! ```

use podlan_conformance::lab::{Command, Error, Node, Output, Pod, within_with_strace};
use serde_json::{Value, json};

/// Every call that takes a name: of a file, of a link, of an address.
const ASKS: &str = "--trace=%file,%network,setns,ioctl";

/// The file that strace writes, on the node.
const TRACE: &str = "/run/trace";

/// Part of each hostile text, and of nothing else.
const MARK: &str = "hostile";

const PLUGINS: [&str; 2] = ["podlan", "podlan-ipam"];

/// Names that lead elsewhere, contain a line break, or are longer than any path may be.
fn hostile() -> Vec<String> {
    let long = format!("{MARK}{}/..", "h".repeat(5000));
    let short = ["../../etc/hostile", "hostile/../../..", "host\nile", "..", "/"].map(str::to_owned);
    short.into_iter().chain([long]).collect()
}

/// Runs a command; returns its system calls, without the usual ones.
fn asked(node: &Node, command: Command) -> Result<(Output, Vec<String>), Error> {
    let output = command.under("strace", ["-f", "-qq", "-s", "9999", "-o", TRACE, ASKS]).run()?;
    let trace = std::fs::read_to_string(node.path(TRACE)).unwrap_or_default();
    let calls = trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned()));
    let own = |call: &String| !call.starts_with("execve(") && !call.starts_with('+') && !call.starts_with("ioctl(0,");
    Ok((output, calls.filter(own).collect()))
}

/// The plugin `kind`, called for this pod with valid input.
fn good(pod: &Pod<'_>, kind: &str, verb: &str) -> Result<Command, Error> {
    let mut config = pod.node().podnet();
    config["type"] = json!(kind);
    config["cniVersion"] = json!("1.1.0");
    config["cni.dev/valid-attachments"] = json!([]);
    pod.cni(verb, "eth0", &config)
}

/// The configuration with one key changed.
fn with(command: Command, key: &str, value: Value) -> Command {
    let mut config: Value = serde_json::from_slice(command.stdin_bytes()).unwrap_or_default();
    config[key] = value;
    command.stdin(config.to_string())
}

/// An input that takes a name, and the verbs that read it.
struct Place {
    what: &'static str,
    verbs: &'static [&'static str],
    give: fn(Command, &str) -> Command,
}

const NAMES: [Place; 5] = [
    Place {
        what: "CNI_CONTAINERID",
        verbs: &["ADD", "DEL", "CHECK"],
        give: |command, name| command.env("CNI_CONTAINERID", name),
    },
    Place {
        what: "CNI_IFNAME",
        verbs: &["ADD", "DEL", "CHECK"],
        give: |command, name| command.env("CNI_IFNAME", name),
    },
    Place {
        what: "the network's name",
        verbs: &["ADD", "DEL", "CHECK", "GC", "STATUS"],
        give: |command, name| with(command, "name", json!(name)),
    },
    Place {
        what: "an attachment's container id",
        verbs: &["GC"],
        give: |command, name| {
            with(command, "cni.dev/valid-attachments", json!([{ "containerID": name, "ifname": "eth0" }]))
        },
    },
    Place {
        what: "an attachment's ifname",
        verbs: &["GC"],
        give: |command, name| {
            with(command, "cni.dev/valid-attachments", json!([{ "containerID": "web", "ifname": name }]))
        },
    },
];

#[test]
fn a_hostile_name_reaches_no_system_call() {
    within_with_strace(|node| {
        let web = node.pod("web")?;
        let (_, usual) = asked(node, good(&web, "podlan", "ADD")?)?;
        assert!(usual.iter().any(|call| call.contains("\"/run/netns/web\"")), "strace sees it: {usual:?}");
        let mut cases = 0;
        for place in NAMES {
            for (verb, kind) in place.verbs.iter().flat_map(|verb| PLUGINS.map(|kind| (verb, kind))) {
                for name in hostile() {
                    let (output, calls) = asked(node, (place.give)(good(&web, kind, verb)?, &name))?;
                    let shown: String = name.chars().take(40).collect();
                    let when = format!("{kind} {verb}: {} is {shown:?}", place.what);
                    assert!(output.complaint().is_ok(), "{when}");
                    assert_eq!(calls, Vec::<String>::new(), "{when}");
                    cases += 1;
                }
            }
        }
        println!("{cases} hostile names, none of them in a system call");
        web.del(&node.podnet())
    });
}

/// The input that may be a path, the pod's namespace, is only opened for reading.
#[test]
fn a_hostile_network_namespace_path_is_only_opened_for_reading() {
    within_with_strace(|node| {
        let web = node.pod("web")?;
        let before = node.network()?;
        for netns in hostile() {
            for kind in PLUGINS {
                for verb in ["ADD", "DEL", "CHECK"] {
                    let (output, calls) = asked(node, good(&web, kind, verb)?.env("CNI_NETNS", &netns))?;
                    let shown: String = netns.chars().take(40).collect();
                    let when = format!("{kind} {verb}: CNI_NETNS is {shown:?}");
                    assert!(verb != "DEL" || output.success(), "{when}: {}", output.report());
                    assert!((kind, verb) != ("podlan", "ADD") || output.complaint()?.code == 4, "{when}");
                    let escaped = format!("\"{}\"", netns.replace('\n', "\\n"));
                    for call in calls.iter().filter(|call| call.contains(&escaped)) {
                        let looks = ["stat", "statx", "lstat", "newfstatat"].iter().any(|name| call.starts_with(name));
                        let opens = call.starts_with("open") && call.contains("O_RDONLY");
                        assert!(looks || opens, "{when}: {call}");
                    }
                }
                good(&web, kind, "DEL")?.succeeds()?;
            }
        }
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}

/// A pod's CNI_ARGS and a former result may contain anything: they are text.
#[test]
fn free_text_reaches_no_path() {
    within_with_strace(|node| {
        let web = node.pod("web")?;
        let long = format!("{MARK}{}", "h".repeat(5000));
        let texts = ["../../etc/hostile", "host\nile", "/hostile", &long];
        let gives: [fn(Command, &str) -> Command; 5] = [
            |command, text| {
                command.env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={text};K8S_POD_NAME={text}"))
            },
            |command, text| command.env("CNI_CONTAINERID", if text.len() > 999 { text } else { "plain" }),
            |command, text| with(command, "name", json!(if text.len() > 999 { text } else { "plain" })),
            |command, text| {
                let ends = json!([{ "name": text }, { "name": text, "sandbox": text }]);
                let result = json!({ "cniVersion": "1.1.0", "interfaces": ends, "ips": [], "routes": [] });
                with(command, "prevResult", result)
            },
            |command, text| {
                let mut ipam = json!({ "type": text, "ranges": [[{ "subnet": "10.244.1.0/24" }]] });
                if !text.contains('/') {
                    ipam["type"] = json!("podlan-ipam");
                }
                with(command, "ipam", ipam)
            },
        ];
        let mut asks = 0;
        for give in gives {
            for text in texts {
                for (verb, kind) in ["ADD", "CHECK", "DEL"].iter().flat_map(|verb| PLUGINS.map(|kind| (verb, kind))) {
                    let (_, calls) = asked(node, give(good(&web, kind, verb)?, text))?;
                    asks += calls.len();
                    let carries = |call: &&String| {
                        let sends = call.starts_with("send") || call.starts_with("recv");
                        !sends && (call.contains(MARK) || call.contains("host\\nile"))
                    };
                    let carried: Vec<_> = calls.iter().filter(carries).collect();
                    assert!(carried.is_empty(), "{kind} {verb}: {carried:?}");
                }
                for kind in PLUGINS {
                    good(&web, kind, "DEL")?.succeeds()?;
                }
            }
        }
        assert!(asks > 1000, "{asks}");
        Ok(())
    });
}
