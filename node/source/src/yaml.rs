//! Nodes in YAML, as people and `kubectl get nodes -o yaml` write them: documents, anchors, merge keys. Read event by
//! event; what is not needed is not kept.
//!
//! A scalar is a string as it is written, whatever it looks like: a node may be called 1e3. Tags are ignored.

mod events;

use std::io::BufRead;

use self::events::{Error, Event, Events};
use super::collector::{DEPTH, DOCUMENT, ITEMS, Nodes, Problem};
use super::text::Metered;
use super::value::{Shape, Value};
use nodes::Kind;

/// The key whose value, a mapping or several, is merged into the mapping that has it.
const MERGE: &str = "<<";

/// Reads all documents.
pub(super) fn read(text: Metered<impl BufRead>, nodes: &mut Nodes) -> Result<(), Problem> {
    let mut reader = Reader { events: Events::of(text) };
    loop {
        match reader.events.next()? {
            Event::End => return Ok(()),
            Event::DocumentStart => {}
            // An empty document, between two `---`.
            Event::Scalar { null: true, .. } => {}
            Event::MappingStart => {
                let line = reader.events.line();
                let document = reader.mapping(&DOCUMENT, Some(nodes), 0)?;
                nodes.document(&document, line)?;
            }
            start => {
                let line = reader.events.line();
                let value = reader.value(start, &Shape::Mapping(&[]))?;
                nodes.document(&value, line)?;
            }
        }
    }
}

struct Reader<R: BufRead> {
    events: Events<R>,
}

impl<R: BufRead> Reader<R> {
    /// The value that begins with `start`.
    fn value(&mut self, start: Event, shape: &'static Shape) -> Result<Value, Error> {
        match (start, shape) {
            (Event::Scalar { null: true, .. }, _) => Ok(Value::Null),
            (Event::Scalar { text, .. }, _) => Ok(Value::of_text(text, shape)),
            (Event::MappingStart, Shape::Mapping(_)) => self.mapping(shape, None, 0),
            (Event::ListStart, Shape::List(element)) => {
                let mut values = Vec::new();
                loop {
                    match self.events.next()? {
                        Event::ListEnd => return Ok(Value::List(values)),
                        start => values.push(self.value(start, element)?),
                    }
                }
            }
            (Event::MappingStart, _) => self.skip().map(|()| Value::Other(Kind::Mapping)),
            (Event::ListStart, _) => self.skip().map(|()| Value::Other(Kind::List)),
            _ => Err(self.events.broken("a value is missing")),
        }
    }

    /// The rest of a mapping. With `nodes` its items are processed one by one, and an empty list is returned in their
    /// place.
    fn mapping(&mut self, shape: &'static Shape, mut nodes: Option<&mut Nodes>, depth: usize) -> Result<Value, Error> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        loop {
            let key = match self.events.next()? {
                Event::MappingEnd => break,
                Event::Scalar { text, .. } => text,
                _ => {
                    self.skip()?;
                    self.events.skip_value()?;
                    continue;
                }
            };
            match shape.field(&key) {
                Some((ITEMS, shape)) => {
                    let value = match (self.events.next()?, nodes.as_deref_mut()) {
                        (Event::ListStart, Some(nodes)) => self.items(nodes, depth)?,
                        (start, _) => self.value(start, shape)?,
                    };
                    entries.push((ITEMS, value));
                }
                Some((name, shape)) => {
                    let start = self.events.next()?;
                    entries.push((name, self.value(start, shape)?));
                }
                None if key == MERGE => {
                    let start = self.events.next()?;
                    self.merge(start, shape, &mut merged)?;
                }
                None => self.events.skip_value()?,
            }
        }
        for (name, value) in merged {
            if entries.iter().all(|(known, _)| *known != name) {
                entries.push((name, value));
            }
        }
        Ok(Value::Mapping(entries))
    }

    /// The entries of a merge key: of several mappings the first counts.
    fn merge(
        &mut self,
        start: Event,
        shape: &'static Shape,
        merged: &mut Vec<(&'static str, Value)>,
    ) -> Result<(), Error> {
        match start {
            Event::MappingStart => {
                if let Value::Mapping(entries) = self.mapping(shape, None, 0)? {
                    merged.extend(entries);
                }
                Ok(())
            }
            Event::ListStart => loop {
                match self.events.next()? {
                    Event::ListEnd => return Ok(()),
                    start @ Event::MappingStart => self.merge(start, shape, merged)?,
                    other => self.value(other, &Shape::Text).map(drop)?,
                }
            },
            other => self.value(other, &Shape::Text).map(drop),
        }
    }

    /// The rest of a document's list.
    fn items(&mut self, nodes: &mut Nodes, depth: usize) -> Result<Value, Error> {
        loop {
            self.events.refill();
            let start = self.events.next()?;
            let line = self.events.line();
            let value = match start {
                Event::ListEnd => return Ok(Value::List(Vec::new())),
                Event::MappingStart if depth == DEPTH => return Err(self.events.broken("lists in lists in lists")),
                Event::MappingStart => self.mapping(&DOCUMENT, Some(nodes), depth + 1)?,
                start => self.value(start, &Shape::Mapping(&[]))?,
            };
            nodes.item(&value, line)?;
        }
    }

    /// Skips the rest of a list or a mapping.
    fn skip(&mut self) -> Result<(), Error> {
        self.events.skip(1)
    }
}
