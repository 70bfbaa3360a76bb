//! Nodes in JSON, as `kubectl get nodes -o json` writes them. Streamed: the text of a large cluster would not fit the
//! agent's memory. Each item is first extracted as raw text, so that an error inside affects only that item.

use std::fmt;
use std::io::BufRead;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::collector::{DEPTH, DOCUMENT, ITEMS, Nodes, Problem, is_list};
use super::object::IDENTITY;
use super::text::{Meter, Metered};
use super::value::{Key, KeyOf, Shape, Value};
use nodes::Kind;

/// Reads a document.
pub(super) fn read(text: Metered<impl BufRead>, nodes: &mut Nodes) -> Result<(), Problem> {
    let meter = text.meter();
    let mut broken = None;
    let mut reader = serde_json::Deserializer::from_reader(text);
    let document = Document { nodes, meter: &meter, before: 0, depth: 0, broken: &mut broken };
    let read = document.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match (read, broken) {
        (_, Some(problem)) => Err(problem),
        (Ok(value), None) => nodes.document(&value, 1),
        (Err(error), None) => Err(problem(&error, meter.line())),
    }
}

fn problem(error: &serde_json::Error, line: u64) -> Problem {
    let line = if error.line() == 0 { line } else { u64::try_from(error.line()).unwrap_or(u64::MAX) };
    (line, without_place(error))
}

/// An error's text without line and column, which are reported separately or have no meaning here.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

/// A document whose items are processed one by one.
struct Document<'a> {
    nodes: &'a mut Nodes,
    meter: &'a Meter,
    /// Lines before those that the meter counts.
    before: u64,
    depth: usize,
    /// What is wrong with the list itself.
    broken: &'a mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Nodes or a Node")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Key(known)) = map.next_key_seed(KeyOf(&DOCUMENT))? {
            match known {
                Some((ITEMS, _)) => entries.push((ITEMS, map.next_value_seed(Items(&mut self))?)),
                Some((name, shape)) => entries.push((name, map.next_value_seed(shape)?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Mapping(entries))
    }
}

/// The list of a document.
struct Items<'a, 'b>(&'a mut Document<'b>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other(Kind::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other(Kind::Number))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other(Kind::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other(Kind::Number))
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Other(Kind::Text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other(Kind::Mapping))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element_seed(Item(&mut *self.0))?.is_some() {
            if self.0.broken.is_some() {
                return Err(A::Error::custom("the list is broken"));
            }
        }
        Ok(Value::List(Vec::new()))
    }
}

/// One item of the list.
struct Item<'a, 'b>(&'a mut Document<'b>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self(document) = self;
        let line = document.before + document.meter.line();
        document.meter.refill();
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        *document.broken = item(raw.get(), line, document.nodes, document.depth).err();
        Ok(())
    }
}

/// Reads an extracted item; `Err` only for faults of the list.
fn item(raw: &str, line: u64, nodes: &mut Nodes, depth: usize) -> Result<(), Problem> {
    let parse = |shape: &'static Shape| shape.deserialize(&mut serde_json::Deserializer::from_str(raw));
    match parse(&DOCUMENT) {
        Ok(value) if is_list(&value) && depth == DEPTH => Err((line, "lists in lists in lists".to_owned())),
        Ok(value) if is_list(&value) => {
            let (mut broken, meter) = (None, Meter::default());
            let inner = Document { nodes, meter: &meter, before: line - 1, depth: depth + 1, broken: &mut broken };
            let read = inner.deserialize(&mut serde_json::Deserializer::from_str(raw));
            broken.map_or_else(|| read.map(drop).map_err(|error| (line, without_place(&error))), Err)
        }
        Ok(value) => nodes.item(&value, line),
        Err(error) => {
            let identity = parse(&IDENTITY).unwrap_or(Value::Null);
            nodes.odd_item(&identity, line, &without_place(&error))
        }
    }
}
