//! A runtime's list of living containers, in the forms that its tools print: ids separated by blanks or newlines
//! (`crictl pods -q`), or JSON with a list `items` of objects with an `id` (`crictl pods -o json`).

use std::collections::BTreeSet;

use serde_json::Value;

/// Ids may be cut, as `crictl pods` does; a shorter text is not an id.
const SHORTEST: usize = 12;

/// The ids.
#[derive(Debug, PartialEq, Eq)]
pub struct Living(BTreeSet<String>);

/// Why a text is not such a list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// JSON of another shape.
    #[error("it is JSON without items that have an id")]
    Shape,
    /// No id at all.
    #[error("it names no container: did the command fail that made it? Leave --live out to take all leases over")]
    Empty,
}

impl Living {
    /// Reads a list.
    ///
    /// # Errors
    /// When it holds no id, or is JSON without them.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let ids: BTreeSet<String> = if text.trim_start().starts_with('{') {
            let value: Value = serde_json::from_str(text).map_err(|_| Error::Shape)?;
            let items = value["items"].as_array().ok_or(Error::Shape)?;
            items
                .iter()
                .map(|item| item["id"].as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or(Error::Shape)?
        } else {
            text.split_whitespace().map(str::to_owned).collect()
        };
        if ids.is_empty() { Err(Error::Empty) } else { Ok(Self(ids)) }
    }

    /// Whether it names a container, in full or cut.
    #[must_use]
    pub fn names(&self, container_id: &str) -> bool {
        let cut = |id: &String| id.len() >= SHORTEST && container_id.starts_with(id.as_str());
        self.0.contains(container_id) || self.0.iter().any(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_as_lines_or_as_json_whole_or_cut() {
        let whole = "0123456789abcdef0123";
        for text in ["x\n0123456789abcdef0123\n", "0123456789abc x", r#"{"items":[{"id":"0123456789abcdef0123"}]}"#] {
            assert!(Living::parse(text).unwrap().names(whole), "{text}");
            assert!(!Living::parse(text).unwrap().names("0123456789"), "{text}");
        }
        assert!(!Living::parse("01234").unwrap().names(whole), "too short for an id");
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        assert_eq!(Living::parse(" \n"), Err(Error::Empty));
        assert_eq!(Living::parse(r#"{"items":[]}"#), Err(Error::Empty));
        assert_eq!(Living::parse(r#"{"items":[{}]}"#), Err(Error::Shape));
        assert_eq!(Living::parse("{"), Err(Error::Shape));
    }
}
