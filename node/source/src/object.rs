//! The fields of a Kubernetes Node that are read: name, uid, pod CIDRs, internal addresses. The one place that
//! validates a Node's values, whatever their source.
//!
//! Null is absent everywhere. A value of the wrong type, or one that cannot be parsed, is a fault of this node only.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::json;

use super::value::{Shape, Value};
use nodes::{Fault, Field, Kind, Malformed, Node, Text};

/// What is read of a Node's `metadata`.
pub(super) const METADATA: Shape =
    Shape::Mapping(&[("name", Shape::Text), ("uid", Shape::Text), ("resourceVersion", Shape::Text)]);

/// What is read of a Node's `spec`.
pub(super) const SPEC: Shape = Shape::Mapping(&[("podCIDR", Shape::Text), ("podCIDRs", Shape::List(&Shape::Text))]);

/// What is read of a Node's `status`.
pub(super) const STATUS: Shape = Shape::Mapping(&[("addresses", Shape::List(&ADDRESS))]);

const ADDRESS: Shape = Shape::Mapping(&[("type", Shape::Text), ("address", Shape::Text)]);

/// A Node, as far as it is read.
pub(super) static NODE: Shape = Shape::Mapping(&[("metadata", METADATA), ("spec", SPEC), ("status", STATUS)]);

/// The part of a Node that identifies it.
pub(super) static IDENTITY: Shape = Shape::Mapping(&[("metadata", METADATA)]);

/// The place of a Node.
pub(super) enum Place<'a> {
    /// In a file; with the file's name where it is one of several.
    Line { file: Option<&'a str>, line: u64 },
    /// At the API server, where its name is its place.
    Server,
}

/// The node that an object describes.
pub(super) fn node(value: &Value, place: &Place<'_>) -> Node {
    let mut reading = Reading::default();
    let fields = match value {
        Value::Mapping(_) => value,
        other => {
            reading.wrong_type(Field::Name, "the item", other, Kind::Mapping);
            &Value::Null
        }
    };
    let metadata = reading.mapping(Field::Name, "metadata", reading.field(fields, "metadata"));
    let name = reading.text(Field::Name, "metadata.name", reading.field(metadata, "name"));
    let uid = reading.field(metadata, "uid").and_then(text).filter(|uid| !uid.is_empty());
    let spec = reading.mapping(Field::PodCidr, "spec", reading.field(fields, "spec"));
    let cidrs = reading.pod_cidrs(spec);
    let status = reading.mapping(Field::Address, "status", reading.field(fields, "status"));
    let addresses = reading.internal(status);
    for twice in ["metadata", "spec", "status"].into_iter().filter(|name| repeats(fields, name)) {
        reading.fault(field_of(twice), twice.to_owned(), Fault::Twice);
    }
    if name.is_none() && reading.faults.iter().all(|bad| bad.field != Field::Name) {
        reading.fault(Field::Name, "metadata.name".to_owned(), Fault::Missing);
    }
    Node::read(name.unwrap_or_default(), uid, &addresses, &cidrs, reading.faults).at(place)
}

/// A node of which only the identity could be read.
pub(super) fn unreadable(identity: &Value, place: &Place<'_>, why: &str) -> Node {
    let node = node(identity, &Place::Server);
    let bad = Malformed::of(Field::Name, "the item".to_owned(), Fault::Unreadable(why.into()));
    Node { malformed: Box::new([bad]), ..node }.at(place)
}

/// The name that an object has, if it has one.
pub(super) fn name(value: &Value) -> Option<&str> {
    entry(entry(value, "metadata")?, "name").and_then(text).filter(|name| !name.is_empty())
}

/// The version of an object at the API server.
pub(super) fn version(value: &Value) -> Option<&str> {
    entry(entry(value, "metadata")?, "resourceVersion").and_then(text)
}

/// The last value of a name: in JSON the last of repeated names counts.
fn entry<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let Value::Mapping(entries) = value else { return None };
    entries.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn repeats(value: &Value, name: &str) -> bool {
    let Value::Mapping(entries) = value else { return false };
    entries.iter().filter(|(key, _)| *key == name).count() > 1
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn field_of(name: &str) -> Field {
    match name {
        "spec" => Field::PodCidr,
        "status" => Field::Address,
        _ => Field::Name,
    }
}

/// A Node's values as they are read, and their faults.
#[derive(Default)]
struct Reading {
    faults: Vec<Malformed>,
}

impl Reading {
    fn fault(&mut self, field: Field, at: String, fault: Fault) {
        self.faults.push(Malformed::of(field, at, fault));
    }

    fn wrong_type(&mut self, field: Field, at: &str, found: &Value, wanted: Kind) {
        let fault = found.kind().map_or(Fault::Empty, |found| Fault::WrongType { found, wanted });
        self.fault(field, at.to_owned(), fault);
    }

    #[expect(clippy::unused_self, reason = "read where the faults are collected")]
    fn field<'v>(&self, value: &'v Value, name: &str) -> Option<&'v Value> {
        entry(value, name).filter(|value| **value != Value::Null)
    }

    fn mapping<'v>(&mut self, field: Field, at: &str, value: Option<&'v Value>) -> &'v Value {
        match value {
            Some(mapping @ Value::Mapping(_)) => mapping,
            Some(other) => {
                self.wrong_type(field, at, other, Kind::Mapping);
                &Value::Null
            }
            None => &Value::Null,
        }
    }

    fn text<'v>(&mut self, field: Field, at: &str, value: Option<&'v Value>) -> Option<&'v str> {
        match value {
            Some(Value::Text(text)) if text.is_empty() && field == Field::Name => None,
            Some(Value::Text(text)) => Some(text),
            Some(other) => {
                self.wrong_type(field, at, other, Kind::Text);
                None
            }
            None => None,
        }
    }

    fn list<'v>(&mut self, field: Field, at: &str, value: Option<&'v Value>) -> &'v [Value] {
        match value {
            Some(Value::List(list)) => list,
            Some(other) => {
                self.wrong_type(field, at, other, Kind::List);
                &[]
            }
            None => &[],
        }
    }

    /// `podCIDRs[0]` repeats `podCIDR` wherever both are given (core/v1 `NodeSpec`).
    fn pod_cidrs<'v>(&mut self, spec: &'v Value) -> Vec<Text<'v>> {
        let mut texts = Vec::new();
        let list = self.list(Field::PodCidr, "spec.podCIDRs", self.field(spec, "podCIDRs"));
        for (index, value) in list.iter().enumerate().filter(|(_, value)| **value != Value::Null) {
            let at = format!("spec.podCIDRs[{index}]");
            if let Some(text) = self.text(Field::PodCidr, &at, Some(value)) {
                texts.push(Text { at, text });
            }
        }
        let at = "spec.podCIDR";
        let one = self.text(Field::PodCidr, at, self.field(spec, "podCIDR"));
        let one = one.filter(|one| texts.iter().all(|known: &Text<'_>| known.text != *one));
        texts.extend(one.map(|text| Text { at: at.to_owned(), text }));
        texts
    }

    fn internal<'v>(&mut self, status: &'v Value) -> Vec<Text<'v>> {
        let mut texts = Vec::new();
        let list = self.list(Field::Address, "status.addresses", self.field(status, "addresses"));
        for (index, value) in list.iter().enumerate().filter(|(_, value)| **value != Value::Null) {
            let at = format!("status.addresses[{index}]");
            let address = self.mapping(Field::Address, &at, Some(value));
            let kind = self.text(Field::Address, &format!("{at}.type"), self.field(address, "type"));
            if kind != Some("InternalIP") {
                continue;
            }
            let at = format!("{at}.address");
            if let Some(text) = self.text(Field::Address, &at, self.field(address, "address")) {
                texts.push(Text { at, text });
            }
        }
        texts
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file: Some(file), line } => write!(f, "{file}, line {line}"),
            Self::Line { file: None, line } => write!(f, "line {line}"),
            Self::Server => Ok(()),
        }
    }
}

/// Nodes as a list that reads back as the same nodes without their faults. Written node by node.
pub struct NodeList<'a>(pub &'a [Node]);

impl Serialize for NodeList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Items<'a>(&'a [Node]);
        impl Serialize for Items<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut items = serializer.serialize_seq(Some(self.0.len()))?;
                for node in self.0 {
                    items.serialize_element(&item(node))?;
                }
                items.end()
            }
        }
        let mut list = serializer.serialize_map(Some(2))?;
        list.serialize_entry("kind", "NodeList")?;
        list.serialize_entry("items", &Items(self.0))?;
        list.end()
    }
}

fn item(node: &Node) -> serde_json::Value {
    let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
    let internal = |address: &std::net::IpAddr| json!({ "type": "InternalIP", "address": address });
    let addresses: Vec<serde_json::Value> = node.addresses.iter().map(internal).collect();
    json!({
        "metadata": { "name": &*node.name, "uid": node.uid.as_deref() },
        "spec": { "podCIDRs": cidrs },
        "status": { "addresses": addresses },
    })
}
