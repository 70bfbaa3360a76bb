//! Any file is read as nodes or refused with its line; an error in one node affects no other node.

use std::io::BufReader;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::object::NodeList;

const JSON: &str = r#"{"apiVersion":"v1","kind":"List","items":[
    {"metadata":{"name":"n1","labels":{"a":"b"}},
     "spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24","fd00:10:244:1::/64"]},
     "status":{"addresses":[{"type":"Hostname","address":"n1"},{"type":"InternalIP","address":"10.0.0.1"},
                            {"type":"InternalIP","address":"fd00::1"}],"images":[{"names":["x"]}]}}]}"#;

const YAML: &str = "
items:
- metadata: {name: n1}
  spec:
    podCIDRs: [10.244.1.0/24, 'fd00:10:244:1::/64']
  status:
    addresses:
    - {type: Hostname, address: n1}
    - {type: InternalIP, address: 10.0.0.1}
    - {type: InternalIP, address: 'fd00::1'}
";

fn parse_bytes(text: &[u8]) -> Result<Vec<Node>, Problem> {
    let mut reader = BufReader::with_capacity(64, text);
    text::begin(&mut reader).map_err(|error| (1, error.to_string()))?;
    parse(Metered::new(reader), None)
}

fn parse_text(text: &str) -> Result<Vec<Node>, Problem> {
    parse_bytes(text.as_bytes())
}

fn faults(node: &Node) -> Vec<String> {
    node.malformed.iter().map(ToString::to_string).collect()
}

/// A node's values without its faults.
fn worth(node: &Node) -> (&str, String, String) {
    (&node.name, format!("{:?}", node.addresses), format!("{:?}", node.pod_cidrs))
}

/// Any text of a nodes file is read as nodes or refused by line; what is read can be written and read again with the
/// same meaning.
#[test]
fn fuzz_any_nodes_file_is_read_or_refused() {
    fuzz::run("nodes-file", |text| {
        let Ok(read) = parse_bytes(text) else { return };
        let snapshot = Snapshot::new(read, Instant::now());
        let said = serde_json::to_string(&NodeList(&snapshot.nodes)).unwrap();
        let again = parse_text(&said).expect("what was written can be read");
        assert_eq!(again.len(), snapshot.nodes.len());
        let again = Snapshot::new(again, Instant::now());
        let worths = |snapshot: &Snapshot| {
            let mut all: Vec<_> = snapshot.nodes.iter().map(|node| format!("{:?}", worth(node))).collect();
            all.sort();
            all
        };
        assert_eq!(worths(&again), worths(&snapshot));
    });
}

#[test]
fn json_and_yaml_say_the_same_nodes() {
    let nodes = parse_text(JSON).unwrap();
    assert_eq!(nodes, parse_text(YAML).unwrap());
    assert_eq!(nodes[0].pod_cidrs.len(), 2);
    assert_eq!(nodes[0].addresses.len(), 2);
    assert!(nodes[0].malformed.is_empty());
}

#[test]
fn one_node_several_documents_and_lists_in_lists_are_files_too() {
    let node = "metadata: {name: a}\nspec: {podCIDR: 10.244.1.0/24}\n";
    assert_eq!(parse_text(node).unwrap().len(), 1);
    let two = format!("{node}---\n---\n{}...\n", node.replace("name: a", "name: b"));
    assert_eq!(parse_text(&two).unwrap().len(), 2);
    let inner = r#"{"kind":"List","items":[{"kind":"NodeList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]},
        {"metadata":{"name":"c"}}]}"#;
    for text in [inner.to_owned(), format!("# as YAML\n{inner}")] {
        let names: Vec<_> = parse_text(&text).unwrap().iter().map(|node| node.name.to_string()).collect();
        assert_eq!(names, ["a", "b", "c"], "{text}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_and_utf_16_is_named() {
    for text in [JSON, YAML] {
        let marked = ["\u{feff}", text].concat();
        assert_eq!(parse_text(&marked).unwrap(), parse_text(text).unwrap());
        for (mark, bytes) in [
            ("\u{feff}", u16::to_le_bytes as fn(u16) -> [u8; 2]),
            ("\u{feff}", u16::to_be_bytes),
            ("", u16::to_le_bytes),
        ] {
            let utf16: Vec<u8> = [mark, text].concat().encode_utf16().flat_map(bytes).collect();
            assert!(parse_bytes(&utf16).unwrap_err().1.contains("UTF-16"));
        }
    }
}

#[test]
fn anchors_aliases_and_merge_keys_mean_what_yaml_says() {
    let text = "
x-base: &base
  spec: &spec {podCIDRs: [10.244.1.0/24]}
  status: {addresses: &addresses [{type: InternalIP, address: 10.0.0.1}]}
items:
- {<<: *base, metadata: {name: a}}
- <<: [*base]
  metadata: {name: b}
  spec: {podCIDRs: [10.244.2.0/24]}
- {metadata: {name: c}, spec: *spec, status: {addresses: *addresses}}
- {metadata: {name: d}, spec: *nothing}
- &self {metadata: {name: e}, spec: *self}
";
    let nodes = parse_text(text).unwrap();
    let cidr = |index: usize| nodes[index].pod_cidrs.first().map(ToString::to_string).unwrap_or_default();
    assert_eq!([cidr(0), cidr(1), cidr(2)], ["10.244.1.0/24", "10.244.2.0/24", "10.244.1.0/24"]);
    assert!((0..3).all(|index| nodes[index].addresses.len() == 1 && nodes[index].malformed.is_empty()), "{nodes:?}");
    assert_eq!(faults(&nodes[3]), ["spec is a string, not a mapping (line 11)"]);
    assert_eq!(faults(&nodes[4]), ["spec is a string, not a mapping (line 12)"]);
}

#[test]
fn aliases_of_aliases_end_in_an_error() {
    let bomb = (1..=9).fold("x0: &x0 [a, a, a, a, a, a, a, a, a]\n".to_owned(), |text, level| {
        let alias = format!("*x{}", level - 1);
        text + &format!("x{level}: &x{level} [{}]\n", vec![alias; 9].join(", "))
    });
    assert!(parse_text(&format!("{bomb}items: *x9\n")).is_err());
    let nodes = parse_text(&format!("{bomb}items: [{{metadata: {{name: a, labels: *x9}}}}]\n")).unwrap();
    assert!(nodes[0].malformed.is_empty(), "where it is not looked at it costs nothing");
    let nodes = parse_text(&format!("{bomb}items: [{{metadata: {{name: a}}, spec: {{podCIDRs: *x9}}}}]\n")).unwrap();
    assert_eq!(faults(&nodes[0]).len(), 9);
}

#[test]
fn an_empty_list_is_a_list_and_an_empty_file_is_an_error() {
    assert_eq!(parse_text(r#"{"items":[]}"#).unwrap(), []);
    assert_eq!(parse_text("items: []\n").unwrap(), []);
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "{}",
        "kind: Pod\n",
        r#"{"items":null}"#,
        "items:\n",
        "items: [1, a]",
        "[]",
        "a",
        "items: 7",
    ] {
        assert!(parse_text(text).is_err(), "{text:?} must be no list");
    }
}

#[test]
fn null_is_absent_and_a_wrong_value_is_named_by_its_field() {
    let table = [
        ("null", vec!["the item is empty (line 2)"]),
        ("[]", vec!["the item is a list, not a mapping (line 2)"]),
        ("text", vec!["the item is a string, not a mapping (line 2)"]),
        ("{metadata: null}", vec!["metadata.name is missing (line 2)"]),
        ("{metadata: {name: null}}", vec!["metadata.name is missing (line 2)"]),
        ("{metadata: {name: ''}}", vec!["metadata.name is missing (line 2)"]),
        ("{metadata: {name: [a]}}", vec!["metadata.name is a list, not a string (line 2)"]),
        ("{metadata: {name: n}, spec: null, status: ~}", vec![]),
        ("{metadata: {name: n}, spec: {podCIDR: null, podCIDRs: [null]}, status: {addresses: [null]}}", vec![]),
        ("{metadata: {name: n}, status: {addresses: [{type: InternalIP, address: null}, {type: null}]}}", vec![]),
        ("{metadata: {name: n, labels: 5}, spec: {taints: x}, status: {images: {a: b}}}", vec![]),
        ("{metadata: {name: n}, spec: 10.244.3.0/24}", vec!["spec is a string, not a mapping (line 2)"]),
        (
            "{metadata: {name: n}, spec: {podCIDRs: 10.244.3.0/24}}",
            vec!["spec.podCIDRs is a string, not a list (line 2)"],
        ),
        ("{metadata: {name: n}, spec: {podCIDRs: [{}]}}", vec!["spec.podCIDRs[0] is a mapping, not a string (line 2)"]),
        ("{metadata: {name: n}, status: {addresses: 5}}", vec!["status.addresses is a string, not a list (line 2)"]),
        ("{metadata: {name: n}, spec: {}, spec: {}}", vec!["spec appears twice; the last one is used (line 2)"]),
        (
            "{metadata: {name: n}, status: {addresses: [{type: InternalIP, address: ['fe80::1']}]}}",
            vec!["status.addresses[0].address is a list, not a string (line 2)"],
        ),
        (
            "{metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 'fe80::1'}]}}",
            vec!["status.addresses[0].address \"fe80::1\" is not a unicast address or subnet (line 2)"],
        ),
    ];
    for (item, expected) in table {
        let nodes = parse_text(&format!("items:\n- {item}\n- {{metadata: {{name: good}}}}\n")).unwrap();
        assert_eq!(faults(&nodes[0]), expected, "{item}");
        assert_eq!(nodes.len(), 2, "{item}");
        assert!(nodes[1].malformed.is_empty() && &*nodes[1].name == "good", "{item}");
    }
    // A YAML string may be a JSON number; an invalid number affects only its node.
    for (value, expected) in [
        ("5", "metadata.name is a number, not a string (line 2)"),
        ("true", "metadata.name is a boolean, not a string (line 2)"),
        ("1e999", "the item cannot be read: number out of range (line 2)"),
        (r#""\ud800""#, "the item cannot be read: unexpected end of hex escape (line 2)"),
    ] {
        let text =
            format!("{{\"items\":[\n{{\"metadata\":{{\"name\":{value}}}}},\n{{\"metadata\":{{\"name\":\"good\"}}}}]}}");
        let nodes = parse_text(&text).unwrap();
        assert!(faults(&nodes[0]).iter().any(|fault| fault == expected), "{value}: {:?}", faults(&nodes[0]));
        assert_eq!(&*nodes[1].name, "good");
    }
    let text = r#"{"items":[{"metadata":{"name":"n"},"spec":{"podCIDR":1e999}}]}"#;
    assert_eq!(&*parse_text(text).unwrap()[0].name, "n", "its name is known where the rest cannot be read");
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text_in_yaml() {
    let nodes =
        parse_text("items: [{metadata: {name: 1e3}}, {metadata: {name: 007}}, {metadata: {name: no}}]").unwrap();
    assert_eq!(nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["1e3", "007", "no"]);
}

#[test]
fn a_malformed_file_is_named_with_its_line() {
    assert_eq!(parse_text("{\"items\":[\n{\"metadata\":\n").unwrap_err().0, 3);
    assert_eq!(parse_text("items:\n- metadata: {name: a\n").unwrap_err().0, 2);
    assert_eq!(parse_text("{\n\"items\": 7}").unwrap_err().1, "items is a number, not a list");
    assert!(parse_bytes(b"items:\n- metadata: {name: \xff}\n").unwrap_err().1.contains("UTF-8"));
    for text in [
        "{\"items\":[\n{\"metadata\":\n",
        "items:\n- metadata: {name: a\n",
        "{\"items\":[}",
        "items: 7",
        "[1]",
        "a: [}",
    ] {
        let (_, said) = parse_text(text).unwrap_err();
        for word in ["struct", "Option", "serde", "expected a list of Nodes or a Node", "budget", " at line "] {
            assert!(!said.contains(word), "{text:?}: {said}");
        }
    }
}

#[test]
fn one_node_that_has_no_end_is_refused_in_bounded_memory() {
    let long = "x".repeat(17 << 20);
    for text in [
        format!("{{\"items\":[{{\"metadata\":{{\"labels\":\"{long}\"}}}}]}}"),
        format!("items:\n- metadata:\n    labels: {long}\n"),
    ] {
        assert!(parse_text(&text).unwrap_err().1.contains("one Node has more than 16 MiB"));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC*".prop_map(Value::from),
        prop::sample::select(
            &["", "~", "null", "10.244.9.0/24", "fe80::1", "10.0.0.9", "::ffff:10.0.0.9", "InternalIP"][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known =
        &["metadata", "name", "spec", "podCIDR", "podCIDRs", "status", "addresses", "type", "address", "<<", "kind"];
    prop_oneof![prop::sample::select(&known[..]).prop_map(str::to_owned), "\\PC{0,8}"]
}

/// Puts a value somewhere into a node: in the place of the node, or of anything in it.
fn put(node: &mut Value, place: usize, value: Value) {
    let places = [
        "",
        "/metadata",
        "/metadata/name",
        "/metadata/labels",
        "/spec",
        "/spec/podCIDR",
        "/spec/podCIDRs",
        "/spec/podCIDRs/0",
        "/status",
        "/status/addresses",
        "/status/addresses/0",
        "/status/addresses/0/type",
        "/status/addresses/0/address",
    ];
    if let Some(there) = node.pointer_mut(places[place % places.len()]) {
        *there = value;
    }
}

fn good(name: &str, number: u8) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "a": "b" } },
        "spec": { "podCIDR": format!("10.244.{number}.0/24"), "podCIDRs": [format!("10.244.{number}.0/24")] },
        "status": { "addresses": [{ "type": "InternalIP", "address": format!("10.0.0.{number}") }] },
    })
}

proptest! {
    #[test]
    fn any_value_in_any_place_of_one_node_leaves_the_others_as_they_are(place in 0_usize..13, value in any_value()) {
        let mut odd = good("odd", 9);
        put(&mut odd, place, value);
        let list = json!({ "items": [good("first", 1), odd, good("last", 2)] }).to_string();
        // A comment makes it YAML.
        for text in [list.clone(), format!("# YAML\n{list}")] {
            let nodes = match parse_text(&text) {
                Ok(nodes) => nodes,
                // One of the items is a list of nodes: then there is no odd node.
                Err((line, problem)) => return Err(TestCaseError::fail(format!("{text}: {line}: {problem}"))),
            };
            for (name, number) in [("first", 1), ("last", 2)] {
                let node = nodes.iter().find(|node| &*node.name == name).expect("it is there");
                prop_assert_eq!(node.addresses[0].to_string(), format!("10.0.0.{number}"));
                prop_assert_eq!(node.pod_cidrs[0].to_string(), format!("10.244.{number}.0/24"));
                prop_assert!(node.malformed.is_empty());
            }
        }
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podlan-node-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn one(name: &str) -> String {
    format!("items: [{{metadata: {{name: {name}}}}}]\n")
}

fn all(path: &Path, memory: &mut Memory) -> Report {
    read(path, memory, Instant::now(), true).unwrap()
}

fn names(report: &Report) -> Vec<String> {
    report.as_ref().unwrap().nodes.iter().map(|node| node.name.to_string()).collect()
}

#[test]
fn a_file_of_a_directory_that_cannot_be_read_is_its_own_fault_and_what_it_said_stands() {
    let folder = Folder::new("files");
    folder.write("a.yaml", &one("a"));
    let pipe = folder.0.join("b.yaml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut memory = Memory::default();
    let first = all(&folder.0, &mut memory);
    assert_eq!(names(&first), ["a"]);
    let first = first.unwrap();
    assert!(first.partial && first.faults[0].contains("b.yaml: it is a named pipe, not a file"), "{:?}", first.faults);
    // After it has been read once, its contents stay, whatever replaces the file.
    fs::remove_file(&pipe).unwrap();
    folder.write("b.yaml", &one("b"));
    let complete = all(&folder.0, &mut memory);
    assert_eq!(names(&complete), ["a", "b"]);
    assert!(complete.is_ok_and(|complete| !complete.partial && complete.faults.is_empty()));
    let odd: [&dyn Fn(); 5] = [
        &|| fs::create_dir(&pipe).unwrap(),
        &|| symlink("nowhere", &pipe).unwrap(),
        &|| fs::write(&pipe, b"\xff\xfei\0t\0").unwrap(),
        &|| fs::write(&pipe, "items: [").unwrap(),
        &|| drop(std::os::unix::net::UnixListener::bind(&pipe).unwrap()),
    ];
    for make in odd {
        let _ = fs::remove_file(&pipe).or_else(|_| fs::remove_dir(&pipe));
        make();
        folder.write("a.yaml", &one("a2"));
        let report = all(&folder.0, &mut memory);
        assert_eq!(names(&report), ["a2", "b"]);
        assert!(report.is_ok_and(|report| !report.partial && report.faults.len() == 1));
    }
    let _ = fs::remove_file(&pipe).or_else(|_| fs::remove_dir(&pipe));
    assert_eq!(names(&all(&folder.0, &mut memory)), ["a2"], "a file that is gone has no nodes");
}

#[test]
fn a_file_that_is_as_it_was_is_not_read_again_and_one_that_changed_is() {
    let folder = Folder::new("stamps");
    let file = folder.0.join("nodes.yaml");
    folder.write("nodes.yaml", &one("a"));
    let mut memory = Memory::default();
    let changed = |memory: &mut Memory| read(&file, memory, Instant::now(), false).map(|report| names(&report));
    assert_eq!(changed(&mut memory).unwrap(), ["a"]);
    // A change within the same clock tick has the same stamp: a fresh file is always read.
    folder.write("nodes.yaml", &one("b"));
    assert_eq!(changed(&mut memory).unwrap(), ["b"]);
    // An old one is recognised by its stamp, and read on request.
    memory.single = fs::metadata(&file).ok().map(|metadata| FileStamp::of(&metadata));
    assert_eq!(changed(&mut memory), None);
    assert_eq!(names(&all(&file, &mut memory)), ["b"]);
    fs::rename(&file, folder.0.join("old")).unwrap();
    folder.write("nodes.yaml", &one("c"));
    assert_eq!(changed(&mut memory).unwrap(), ["c"]);
    // A fault is reported once.
    folder.write("nodes.yaml", "items: 7");
    let faulty = |memory: &mut Memory| read(&file, memory, Instant::now(), false);
    assert!(faulty(&mut memory).is_some_and(|report| report.is_err()));
    assert!(faulty(&mut memory).is_none());
    folder.write("nodes.yaml", &one("d"));
    assert_eq!(changed(&mut memory).unwrap(), ["d"]);
}

#[test]
fn a_directory_whose_files_are_unchanged_is_not_reported_again() {
    let folder = Folder::new("changes");
    folder.write("a.yaml", &one("a"));
    folder.write("b.yaml", "items: 7");
    let mut memory = Memory::default();
    let changed = |memory: &mut Memory| read(&folder.0, memory, Instant::now(), false).map(|report| names(&report));
    assert_eq!(changed(&mut memory).unwrap(), ["a"]);
    assert_eq!(changed(&mut memory), None);
    folder.write("b.yaml", &one("b"));
    assert_eq!(changed(&mut memory).unwrap(), ["a", "b"]);
    fs::remove_file(folder.0.join("a.yaml")).unwrap();
    assert_eq!(changed(&mut memory).unwrap(), ["b"]);
    fs::remove_file(folder.0.join("b.yaml")).unwrap();
    assert!(read(&folder.0, &mut memory, Instant::now(), false).is_some_and(|report| report.is_err()));
}

#[test]
fn a_single_file_that_is_none_is_an_error_that_names_it() {
    let folder = Folder::new("single");
    let file = folder.0.join("nodes.yaml");
    let said = |memory: &mut Memory| all(&file, memory).unwrap_err().to_string();
    let mut memory = Memory::default();
    assert!(said(&mut memory).contains("No such file"));
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(said(&mut memory).ends_with("nodes.yaml: it is a named pipe, not a file"));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(said(&mut memory).ends_with("nodes.yaml: it holds no file of nodes"));
    fs::remove_dir(&file).unwrap();
    folder.write("nodes.yaml", "{\n\"items\": 7}");
    let error = said(&mut memory);
    assert!(error.starts_with(&format!("{}:1: ", file.display())), "{error}");
    folder.write("nodes.yaml", &one("a"));
    assert_eq!(names(&all(&file, &mut memory)), ["a"]);
}
