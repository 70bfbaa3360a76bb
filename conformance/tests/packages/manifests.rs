//! Objects of Kubernetes as values, so that two texts can be compared.

use std::fs;

use serde_json::Value;

use crate::release::repository;

/// The objects of a text; what a comment or a condition left empty is none.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// Those of a file of deploy/kubernetes.
pub(crate) fn deployed(file: &str) -> Vec<Value> {
    objects(&fs::read_to_string(repository().join("deploy/kubernetes").join(file)).unwrap())
}

/// The agent's or the cleanup's container among them.
pub(crate) fn container(objects: &[Value]) -> &Value {
    let set = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    &set["spec"]["template"]["spec"]["containers"][0]
}
