//! A request as a value, and as a line of a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Error;

/// One execution of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `podlan` or `podlan-ipam`.
    pub(crate) program: String,
    /// The lab and the node in which it was recorded; requests of one group share one state.
    pub(crate) group: String,
    /// The node's name.
    pub(crate) node: String,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) stdin: Vec<u8>,
    /// Whether its netlink messages are compared.
    pub(crate) traced: bool,
}

impl Request {
    /// A line without its line end. Each byte of stdin is one character.
    pub(crate) fn line(&self) -> String {
        let environment: BTreeMap<_, _> =
            self.environment.iter().map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy())).collect();
        let stdin: String = self.stdin.iter().map(|byte| char::from(*byte)).collect();
        let Self { program, group, node, .. } = self;
        json!({ "program": program, "group": group, "node": node, "environment": environment, "stdin": stdin })
            .to_string()
    }

    fn parse(line: &str) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_str(line)?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let members = value["environment"].as_object().into_iter().flatten();
        let environment =
            members.map(|(name, value)| (name.into(), value.as_str().unwrap_or_default().into())).collect();
        let stdin = text("stdin").chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect();
        Ok(Self {
            program: text("program"),
            group: text("group"),
            node: text("node"),
            environment,
            stdin,
            traced: true,
        })
    }

    /// The value of a variable, as text.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(&OsString::from(name)).and_then(|value| value.to_str())
    }
}

/// Reads a file of recorded requests; those of a group follow each other.
pub(crate) fn read(path: &Path) -> Result<Vec<Request>, Error> {
    let text = fs::read_to_string(path).map_err(Error::system(format!("read {}", path.display())))?;
    let parse = |(number, line)| Request::parse(line).map_err(|source| Error::Recorded { line: number + 1, source });
    let mut requests = text.lines().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    // The sort is stable: within a group the recorded order stays.
    requests.sort_by(|one, other| one.group.cmp(&other.group));
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let environment = [("CNI_COMMAND".into(), "ADD".into())].into();
        let (program, group, node) = ("podlan".into(), "1 node2".into(), "node2".into());
        let request = Request { program, group, node, environment, stdin: b"{\"\xff\n".to_vec(), traced: true };
        assert_eq!(Request::parse(&request.line()).unwrap(), request);
    }
}
