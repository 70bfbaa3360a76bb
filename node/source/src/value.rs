//! What is kept of a document while it is parsed: the fields that are read, and of a value of the wrong type only its
//! type. All else is skipped, so that a Node of 40 KB needs no more memory than one of 200 bytes.
//!
//! JSON, YAML and the Kubernetes API are all parsed into this; its meaning is checked once, in [`super::object`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use nodes::Kind;

/// A value, as far as its [`Shape`] asks for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Value>),
    /// Entries with the names that the shape has, in the document's order; a name may occur twice.
    Mapping(Vec<(&'static str, Value)>),
    /// It has another type than the shape asks for.
    Other(Kind),
}

/// What is read of a value.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    List(&'static Shape),
    Mapping(&'static [(&'static str, Shape)]),
}

impl Shape {
    /// The name as the shape has it, and the shape of its value.
    pub(super) fn field(&self, name: &str) -> Option<(&'static str, &Shape)> {
        let Self::Mapping(fields) = self else { return None };
        fields.iter().find(|(known, _)| *known == name).map(|(known, shape)| (*known, shape))
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::List(_) => Kind::List,
            Self::Mapping(_) => Kind::Mapping,
        }
    }
}

impl Value {
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Null => None,
            Self::Text(_) => Some(Kind::Text),
            Self::List(_) => Some(Kind::List),
            Self::Mapping(_) => Some(Kind::Mapping),
            Self::Other(kind) => Some(*kind),
        }
    }

    /// A scalar that is a text, for a field of this shape.
    pub(super) fn of_text(text: String, shape: &Shape) -> Self {
        if let Shape::Text = shape { Self::Text(text) } else { Self::Other(Kind::Text) }
    }
}

/// A value may have any type: what the shape does not ask for is skipped, never refused.
impl<'de> DeserializeSeed<'de> for &'static Shape {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &'static Shape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
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

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::of_text(text.to_owned(), self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Shape::List(element) = self else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Other(Kind::List));
        };
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(*element)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Key(known)) = map.next_key_seed(KeyOf(self))? {
            match known {
                Some((name, shape)) => entries.push((name, map.next_value_seed(shape)?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(if let Shape::Mapping(_) = self { Value::Mapping(entries) } else { Value::Other(Kind::Mapping) })
    }
}

/// Reads a key without keeping it.
pub(super) struct KeyOf(pub(super) &'static Shape);

/// A key that the shape has, with what is read of its value.
pub(super) struct Key(pub(super) Option<(&'static str, &'static Shape)>);

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        // As bytes a key may hold any escape.
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(Key(self.0.field(name)))
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Key, E> {
        Ok(Key(std::str::from_utf8(name).ok().and_then(|name| self.0.field(name))))
    }
}
