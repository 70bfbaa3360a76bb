//! The keys of a JSON document and the types of their values.

use std::collections::BTreeSet;

use serde_json::Value;

/// One line for each path and type, sorted: `peers[].node: string`. Items of a list share one path.
pub(crate) fn shape(value: &Value) -> String {
    let mut lines = BTreeSet::new();
    walk(value, String::new(), &mut lines);
    lines.into_iter().map(|line| line + "\n").collect()
}

fn walk(value: &Value, path: String, lines: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items.iter().for_each(|item| walk(item, format!("{path}[]"), lines));
            "list"
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| walk(member, format!("{path}.{key}"), lines));
            "object"
        }
    };
    lines.insert(format!("{path}: {kind}"));
}
