//! What the plugins print when they refuse a request: the code, the version and the keys are in `error_codes.txt`, on
//! which runtimes depend, and the texts in `error_texts.txt`.

use std::fmt::Write as _;

use podlan_conformance::lab::{Command, Error, Lab, Node, Pod, within};
use serde_json::{Value, json};

use super::recorded::is_as_recorded;

/// A request that is refused: its name, and the change that makes it from a valid ADD.
type Case = (&'static str, fn(Command) -> Command);

/// Texts that the specification requires (S-166) or the reference suites match (H-086, H-089): they never change.
const FROZEN: [&str; 5] = [
    "msg: no IP addresses available in range set: 10.244.1.1-10.244.1.2",
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_NETNS",
    "CNI_IFNAME",
];

/// Faults of the environment.
const ENVIRONMENT: &[Case] = &[
    ("lower case verb", |add| add.env("CNI_COMMAND", "add")),
    ("unknown verb", |add| add.env("CNI_COMMAND", "UPDATE")),
    ("empty verb", |add| add.env("CNI_COMMAND", "")),
    ("no container id", |add| add.without_env("CNI_CONTAINERID")),
    ("nothing but the verb", |add| {
        ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH", "CNI_ARGS"]
            .into_iter()
            .fold(add, Command::without_env)
    }),
    ("a path as container id", |add| add.env("CNI_CONTAINERID", "../../etc")),
    ("no ifname", |add| add.without_env("CNI_IFNAME")),
    ("ifname of 16 bytes", |add| add.env("CNI_IFNAME", "sixteen-bytes-xx")),
    ("the loopback as ifname", |add| add.env("CNI_IFNAME", "lo")),
    ("a template as ifname", |add| add.env("CNI_IFNAME", "eth%d")),
    ("no netns", |add| add.without_env("CNI_NETNS")),
    ("a netns that is not there", |add| add.env("CNI_NETNS", "/run/netns/nobody")),
    ("a file as netns", |add| add.env("CNI_NETNS", Lab::NODES_FILE)),
    ("a directory as netns", |add| add.env("CNI_NETNS", "/run/netns")),
    ("a namespace of another kind", |add| add.env("CNI_NETNS", "/proc/self/ns/uts")),
    ("the netns of the node", |add| add.env("CNI_NETNS", "/proc/self/ns/net")),
    ("unreadable args", |add| add.env("CNI_ARGS", "K8S_POD_NAME")),
    ("an unknown arg", |add| add.env("CNI_ARGS", "WHATEVER=1")),
    ("an address that is none in args", |add| add.env("CNI_ARGS", "IP=ten")),
    ("a MAC that is none in args", |add| add.env("CNI_ARGS", "MAC=ten")),
    ("DEL without container id", |add| add.env("CNI_COMMAND", "DEL").without_env("CNI_CONTAINERID")),
    ("CHECK without prevResult", |add| add.env("CNI_COMMAND", "CHECK")),
    ("CHECK of what was never added", |add| {
        let previous = json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "eth0", "sandbox": "/run/netns/web" }],
            "ips": [{ "address": "10.244.1.2/32", "gateway": "169.254.1.1", "interface": 0 }] });
        with(add.env("CNI_COMMAND", "CHECK"), "/prevResult", previous)
    }),
    ("GC in 1.0.0", |add| add.env("CNI_COMMAND", "GC")),
    ("STATUS in 1.0.0", |add| add.env("CNI_COMMAND", "STATUS")),
    ("GC without attachments", |add| with(add.env("CNI_COMMAND", "GC"), "/cniVersion", json!("1.1.0"))),
    ("STATUS without the agent", |add| {
        let later = with(add.env("CNI_COMMAND", "STATUS"), "/cniVersion", json!("1.1.0"));
        with(later, "/agent", json!("/run/podlan/node.json"))
    }),
    ("ADD without the agent", |add| with(add, "/agent", json!("/run/podlan/node.json"))),
];

/// Faults of the network configuration.
const CONFIG: &[Case] = &[
    ("no stdin", |add| add.stdin("")),
    ("garbage", |add| add.stdin("garbage")),
    ("trailing bytes", |add| {
        let stdin = [add.stdin_bytes(), b"}"].concat();
        add.stdin(stdin)
    }),
    ("no UTF-8", |add| add.stdin(*b"{\"cniVersion\":\"1.0.0\",\"name\":\"\xff\"}")),
    ("a list", |add| add.stdin("[]")),
    ("deep nesting", |add| add.stdin("[".repeat(20_000))),
    ("a version of the future", |add| with(add, "/cniVersion", json!("9.9.9"))),
    ("a number as version", |add| with(add, "/cniVersion", json!(1))),
    ("no name", |add| with(add, "/name", Value::Null)),
    ("a path as name", |add| with(add, "/name", json!("../x"))),
    ("no ipam", |add| with(add, "/ipam", Value::Null)),
    ("ipam without type", |add| with(add, "/ipam", json!({}))),
    ("another ipam", |add| with(add, "/ipam/type", json!("nobodys-ipam"))),
    ("a path as ipam", |add| with(add, "/ipam/type", json!("../bin/sh"))),
    ("no ranges", |add| with(add, "/ipam/ranges", json!([]))),
    ("a subnet that is none", |add| with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/33" }]]))),
    ("a subnet of one address", |add| with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/32" }]]))),
    ("a start outside", |add| {
        with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/24", "rangeStart": "10.9.9.9" }]]))
    }),
    ("an end before the start", |add| {
        let range = json!([[{ "subnet": "10.244.1.0/24", "rangeStart": "10.244.1.9", "rangeEnd": "10.244.1.3" }]]);
        with(add, "/ipam/ranges", range)
    }),
    ("ranges that overlap", |add| {
        with(add, "/ipam/ranges", json!([[{ "subnet": "10.244.1.0/24" }], [{ "subnet": "10.244.1.0/25" }]]))
    }),
    ("a relative dataDir", |add| with(add, "/ipam/dataDir", json!("here"))),
    ("a lockTimeout in words", |add| with(add, "/ipam/lockTimeout", json!("soon"))),
    ("a negative mtu", |add| with(add, "/mtu", json!(-1))),
    ("an mtu too small for IPv4", |add| with(add, "/mtu", json!(67))),
    ("an mtu too small for IPv6", |add| with(add, "/mtu", json!(1279))),
    ("an mtu too large", |add| with(add, "/mtu", json!(65536))),
    ("an mtu in words", |add| with(add, "/mtu", json!("1500"))),
    ("a hostSource that is none", |add| with(add, "/hostSource", json!(["ten"]))),
    ("an address of elsewhere", |add| with(add, "/runtimeConfig", json!({ "ips": ["10.99.0.1"] }))),
    ("an address that is none", |add| with(add, "/runtimeConfig", json!({ "ips": ["ten"] }))),
    ("a MAC that is none", |add| with(add, "/runtimeConfig", json!({ "mac": "ten" }))),
    ("a group MAC", |add| with(add, "/runtimeConfig", json!({ "mac": "01:00:00:00:00:01" }))),
    ("an interface that the chain made", |add| {
        let interfaces = json!([{ "name": "eth0", "sandbox": "/run/netns/web" }]);
        with(add, "/prevResult", json!({ "cniVersion": "1.0.0", "interfaces": interfaces, "ips": [] }))
    }),
    ("a damaged prevResult", |add| with(add, "/prevResult", json!("none"))),
];

/// The valid config with one key changed, as stdin.
fn with(command: Command, path: &str, value: Value) -> Command {
    let mut config: Value = serde_json::from_slice(command.stdin_bytes()).unwrap_or_default();
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    if let Some(object) = config.pointer_mut(parent).and_then(Value::as_object_mut) {
        object.insert(key.to_owned(), value);
    }
    command.stdin(config.to_string())
}

/// The output, for each of the two goldens.
#[derive(Default)]
struct Said {
    codes: String,
    texts: String,
}

impl Said {
    fn add(&mut self, name: &str, command: Command) -> Result<(), Error> {
        let output = command.run()?;
        let exit = output.status.and_then(|status| status.code());
        let mut object: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| json!(output.stdout));
        let mut words = Vec::new();
        for key in ["msg", "details"] {
            if let Some(text) = object.get_mut(key) {
                words.push(format!("{key}: {}", text.as_str().unwrap_or_default()));
                *text = json!("..");
            }
        }
        let exit = exit.map_or_else(|| "none".to_owned(), |code| code.to_string());
        writeln!(self.codes, "{name}: exit code {exit} {object}").ok();
        writeln!(self.texts, "{name}\n    {}", words.join("\n    ")).ok();
        Ok(())
    }

    fn each(&mut self, program: &str, cases: &[Case], pod: &Pod<'_>, config: &Value) -> Result<(), Error> {
        let mut config = config.clone();
        for (name, change) in cases {
            config["type"] = json!(program);
            // The directory of the programs under test is part of one text.
            let add = || Ok::<_, Error>(change(pod.cni("ADD", "eth0", &config)?.env("CNI_PATH", "/opt/podlan/bin")));
            self.add(&format!("{program}: {name}"), add()?)?;
            // A request that was not refused leaves nothing for the next case.
            add()?.env("CNI_COMMAND", "DEL").run()?;
        }
        Ok(())
    }
}

/// A network with one free address in each family.
fn room_for_one(node: &Node) -> Value {
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/30" }], [{ "subnet": "fd00:10:244:1::/126" }]]);
    config
}

/// Refusals that take more than one request.
fn sequences(said: &mut Said, node: &Node, pod: &Pod<'_>) -> Result<(), Error> {
    let mut config = room_for_one(node);
    config["ipam"]["dataDir"] = json!("/run/sequences");
    let other = node.pod("other")?;
    let added = pod.add(&config)?;
    said.add("a second ADD of one attachment", pod.cni("ADD", "eth0", &config)?)?;
    said.add("ADD to a network that is full", other.cni("ADD", "eth0", &config)?)?;
    let mut taken = config.clone();
    taken["runtimeConfig"] = json!({ "ips": [added.v4()?.to_string()] });
    said.add("ADD of an address that is taken", other.cni("ADD", "eth0", &taken)?)?;
    let mut changed = config.clone();
    changed["prevResult"] = added.result.clone();
    changed["prevResult"]["ips"][0]["address"] = json!("10.244.1.9/32");
    said.add("CHECK of another address", pod.cni("CHECK", "eth0", &changed)?)?;
    let mut checked = config.clone();
    checked["prevResult"] = added.result.clone();
    pod.command("ip").args(["route", "del", "default"]).succeeds()?;
    said.add("CHECK of a pod without default route", pod.cni("CHECK", "eth0", &checked)?)?;
    pod.del(&config)?;
    other.place().occupy("eth0")?;
    said.add("ADD where a link has the name", other.cni("ADD", "eth0", &config)?)
}

#[test]
fn the_errors_of_a_table_of_bad_requests_are_as_recorded() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        let mut said = Said::default();
        for program in ["podlan", "podlan-ipam"] {
            for cases in [ENVIRONMENT, CONFIG] {
                said.each(program, cases, &web, &room_for_one(node))?;
            }
        }
        sequences(&mut said, node, &web)?;
        for words in FROZEN {
            assert!(said.texts.contains(words), "no error has {words:?}");
        }
        is_as_recorded("error_codes.txt", &said.codes);
        is_as_recorded("error_texts.txt", &said.texts);
        Ok(())
    });
}
