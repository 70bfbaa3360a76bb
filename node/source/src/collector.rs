//! Collects the nodes of a document while it is parsed: item by item, so that no whole list is kept in memory.

use super::MOST;
use super::object::{self, Place};
use super::value::{Shape, Value};
use nodes::{Kind, Node};

/// A line and what is wrong there.
pub(super) type Problem = (u64, String);

/// How deep lists may be nested in items of lists.
pub(super) const DEPTH: usize = 4;

/// The field of a document that holds its list.
pub(super) const ITEMS: &str = "items";

/// A document, or an item: a list of Nodes, or a Node.
pub(super) static DOCUMENT: Shape = Shape::Mapping(&[
    ("metadata", object::METADATA),
    ("spec", object::SPEC),
    ("status", object::STATUS),
    (ITEMS, Shape::List(&Shape::Text)),
]);

/// The nodes of a file.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    read: Vec<Node>,
    /// The file's name, where it is one of several.
    file: Option<String>,
    documents: usize,
    /// Whether at least one item is a mapping; without any it is not a list of nodes.
    items: Items,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Items {
    #[default]
    None,
    OtherThings,
    Mappings,
}

impl Nodes {
    pub(super) fn of(file: Option<String>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Adds a document that was read to its end.
    pub(super) fn document(&mut self, value: &Value, line: u64) -> Result<(), Problem> {
        self.documents += 1;
        let Value::Mapping(entries) = value else {
            return Err((line, format!("{}, neither a list of Nodes nor a Node", kind(value))));
        };
        let found = |name| entries.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value);
        match found(ITEMS) {
            Some(Value::List(_)) => Ok(()),
            None | Some(Value::Null) if object::name(value).is_some() => self.node(value, line),
            None => Err((line, "neither a list of Nodes nor a Node: it has no items and no metadata.name".to_owned())),
            Some(Value::Null) => Err((line, "neither a list of Nodes nor a Node: items is empty".to_owned())),
            Some(other) => Err((line, format!("items is {}, not a list", kind(other)))),
        }
    }

    /// Adds an item of a list; one that is a list itself has been added already.
    pub(super) fn item(&mut self, value: &Value, line: u64) -> Result<(), Problem> {
        if is_list(value) {
            return Ok(());
        }
        let mapping = matches!(value, Value::Mapping(_));
        self.items = if mapping || self.items == Items::Mappings { Items::Mappings } else { Items::OtherThings };
        self.node(value, line)
    }

    /// Adds an item of which only `value` could be read, because of `why`.
    pub(super) fn odd_item(&mut self, value: &Value, line: u64, why: &str) -> Result<(), Problem> {
        self.items = Items::Mappings;
        let node = object::unreadable(value, &self.place(line), why);
        self.push(node, line)
    }

    /// All nodes, if this is a list of nodes.
    pub(super) fn finish(self) -> Result<Vec<Node>, Problem> {
        match (self.documents, self.items) {
            (0, _) => Err((1, "neither a list of Nodes nor a Node: the file is empty".to_owned())),
            (_, Items::OtherThings) => Err((1, "no item of the list is a Node".to_owned())),
            _ => Ok(self.read),
        }
    }

    fn node(&mut self, value: &Value, line: u64) -> Result<(), Problem> {
        let node = object::node(value, &self.place(line));
        self.push(node, line)
    }

    fn push(&mut self, node: Node, line: u64) -> Result<(), Problem> {
        self.read.push(node);
        if self.read.len() > MOST { Err((line, format!("more than {MOST} nodes"))) } else { Ok(()) }
    }

    fn place(&self, line: u64) -> Place<'_> {
        Place::Line { file: self.file.as_deref(), line }
    }
}

/// Whether an item is a list of items itself.
pub(super) fn is_list(value: &Value) -> bool {
    let Value::Mapping(entries) = value else { return false };
    entries.iter().any(|(key, value)| *key == ITEMS && matches!(value, Value::List(_)))
}

fn kind(value: &Value) -> String {
    value.kind().map_or_else(|| "nothing".to_owned(), |kind: Kind| kind.to_string())
}
