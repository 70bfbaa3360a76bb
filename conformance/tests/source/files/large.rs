//! 5,000 nodes of real size, as kubectl writes them: read in bounded memory, in JSON and in YAML, with a byte order mark or
//! without.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use serde_json::{Value, json};

use super::{agent_on, folder, state, stop};

const NODES: usize = 5_000;

/// How large a node is at least.
const SIZE: usize = 40_000;

/// The deadline for a list, on a busy machine and without optimization.
const READ: Duration = Duration::from_secs(280);

/// The agent's greatest memory, in kilobytes, while reading and after. It has some 13 MB without any nodes when it is
/// built without optimization.
const MOST: u64 = 48 << 10;

/// A node as kubectl prints it, with everything that a cluster adds to it.
fn node(number: usize) -> Value {
    let name =
        if number == 1 { "node1".to_owned() } else { format!("ip-10-0-{}-{}.example", number / 250, number % 250) };
    let cidr = format!("10.{}.{}.0/24", 128 + number / 256, number % 256);
    let labels: serde_json::Map<String, Value> =
        (0..25).map(|index| (format!("example.com/label-{index}"), format!("v{index}").into())).collect();
    let fields: serde_json::Map<String, Value> = (0..40).map(|index| (format!("f:label-{index}"), json!({}))).collect();
    let images: Vec<Value> = (0..160)
        .map(|index| {
            let image = format!("registry.example.com/team/image-{index}");
            json!({ "names": [format!("{image}@sha256:{}", "0".repeat(64)), format!("{image}:v1.{index}")], "sizeBytes": 1000 + index })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "annotations": { "example.com/text": "{\"a\": [1, 2]}\n- not: a list\n", "example.com/empty": "" },
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels,
            "managedFields": [{ "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:metadata": { ".": {}, "f:labels": fields } },
                                "manager": "kubelet", "operation": "Update", "subresource": "status" }],
            "name": name, "resourceVersion": number.to_string(), "uid": format!("00000000-0000-0000-0000-{number:012}"),
        },
        "spec": { "podCIDR": cidr, "podCIDRs": [cidr], "taints": null },
        "status": {
            "addresses": [{ "address": format!("172.16.{}.{}", number / 250, number % 250 + 1), "type": "InternalIP" },
                          { "address": name, "type": "Hostname" }],
            "conditions": [{ "message": "kubelet is posting ready status", "status": "True", "type": "Ready" }],
            "images": images,
        },
    })
}

/// Block YAML, as kubectl writes it: lists are not indented.
fn yaml(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (index, (name, value)) in entries.iter().enumerate() {
                let margin = if index == 0 { 0 } else { indent };
                let _ = write!(text, "{:margin$}{name}:", "");
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        let _ = write!(text, "\n{:width$}", "", width = indent + 2);
                        yaml(text, value, indent + 2);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        let _ = write!(text, "\n{:indent$}", "");
                        yaml(text, value, indent);
                    }
                    Value::String(lines) if lines.ends_with('\n') => {
                        text.push_str(" |\n");
                        for line in lines.lines() {
                            let _ = writeln!(text, "{:width$}{line}", "", width = indent + 2);
                        }
                    }
                    scalar => {
                        let _ = writeln!(text, " {scalar}");
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                let margin = if index == 0 { 0 } else { indent };
                let _ = write!(text, "{:margin$}- ", "");
                yaml(text, item, indent + 2);
            }
        }
        scalar => {
            let _ = writeln!(text, "{scalar}");
        }
    }
}

/// Writes the whole list; returns its size.
fn write(path: &Path, mark: &str, is_yaml: bool) -> std::io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let head = if is_yaml { "apiVersion: v1\nitems:\n" } else { "{\"apiVersion\": \"v1\", \"items\": [\n" };
    write!(file, "{mark}{head}")?;
    for number in 1..=NODES {
        let node = node(number);
        let mut text = String::new();
        if is_yaml {
            text.push_str("- ");
            yaml(&mut text, &node, 2);
        } else {
            let end = if number == NODES { "" } else { "," };
            let _ = writeln!(text, "{node:#}{end}");
        }
        assert!(text.len() > SIZE * 7 / 10, "a node of {} bytes", text.len());
        file.write_all(text.as_bytes())?;
    }
    let tail = if is_yaml {
        "kind: List\nmetadata:\n  resourceVersion: \"\"\n"
    } else {
        "], \"kind\": \"List\", \"metadata\": {}}\n"
    };
    file.write_all(tail.as_bytes())?;
    file.into_inner()?.metadata().map(|metadata| metadata.len())
}

/// A line of /proc/PID/status, in kilobytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
}

#[expect(clippy::print_stdout, reason = "its figures are shown")]
fn reads(one: &Node, form: &str, mark: &str) -> Result<(), Error> {
    let path = folder(one, "/run/large").join("nodes");
    let size = write(&path, mark, form == "YAML").unwrap();
    let began = Instant::now();
    let agent = agent_on(one, "/run/large/nodes", &["--resync", "1h"])?;
    eventually(READ, &format!("{NODES} nodes in {form} are read"), || {
        let state = state(one);
        let judged: u64 =
            state["verdicts"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        let (read, error) = (state["pid"] == agent.id() && judged == NODES as u64, &state["source"]["error"]);
        if read && error == "" { Ok(()) } else { Err(format!("{judged} verdicts, {error}")) }
    })?;
    let (peak, after) = (memory(agent.id(), "VmHWM"), memory(agent.id(), "VmRSS"));
    println!("{form}: {} MB in {:?}, {peak} kB at most, {after} kB after", size >> 20, began.elapsed());
    assert!(peak < MOST, "{form}: {peak} kB");
    stop(agent)
}

#[test]
fn five_thousand_nodes_of_real_size_are_read_in_bounded_memory_in_json_and_in_yaml() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        reads(one, "JSON", "\u{feff}")?;
        reads(one, "YAML", "\u{feff}")
    });
}
