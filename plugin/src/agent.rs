//! The node agent's state, for STATUS and ADD: a small file, rewritten every few seconds
//! (`node/state/src/lib.rs`).

use std::io::{self, Read};
use std::path::Path;

use cni::{Code, Error, Fields};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// The version of the file that we can read.
const VERSION: u32 = 1;

/// The most bytes of the file that are read.
const LONGEST: u64 = 1 << 20;

/// Error 50 unless the agent lives and its routes are in.
pub(crate) fn require_ready(path: &Path) -> Result<(), Error> {
    let state = read(path).map_err(|source| not_ready(path, &unreadable(&source)))?;
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| now.tv_sec().cast_unsigned());
    judge(&state, now).map_err(|why| not_ready(path, &why))
}

/// Error 11 until the agent has had this node's routes in once since the node started: a pod started before that could reach no other node.
/// An agent that fails later holds up no pod; the routes are still there.
pub(crate) fn require_routed(path: &Path) -> Result<(), Error> {
    let why = match read(path) {
        Ok(state) if has_routed(&state) => return Ok(()),
        Ok(_) => "its routes have not been in yet".to_owned(),
        Err(source) => unreadable(&source),
    };
    let details = format!("{}: {why}", path.display());
    Err(Error::new(Code::TryAgain, "the node agent has not made this node's routes yet").with_details(details))
}

/// Only a plain "no" counts: an older agent says nothing of it.
fn has_routed(state: &[u8]) -> bool {
    serde_json::from_slice::<Value>(state).map_or(true, |state| state["routed"] != false)
}

/// The MTU of the links by which the agent reaches the other nodes, where it says one: pods that inherit have the last of
/// those that it has written.
pub(crate) fn inherited_mtu(path: &Path) -> Option<u32> {
    let state: Value = serde_json::from_slice(&read(path).ok()?).ok()?;
    state["podMtus"].as_array()?.last()?.as_u64()?.try_into().ok()
}

/// The file, which is small. Something else in its place is refused, and never blocks.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut state = Vec::new();
    ipam::regular::open(path)?.take(LONGEST).read_to_end(&mut state)?;
    Ok(state)
}

fn unreadable(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => "the agent has not started since this node has".to_owned(),
        _ => source.to_string(),
    }
}

/// Why the file does not say that the agent is ready, at `now` seconds of the boot clock.
fn judge(state: &[u8], now: u64) -> Result<(), String> {
    let Ok(Value::Object(object)) = serde_json::from_slice(state) else { return Err("it is not readable".to_owned()) };
    let fields = Fields::new(&object, "", Code::Decode);
    let seconds = |key: &str| fields.value(key).and_then(Value::as_u64).unwrap_or(0);
    match fields.unsigned("version") {
        Ok(Some(VERSION)) => {}
        _ => return Err(format!("it is not of version {VERSION}")),
    }
    let age = seconds("bootTime").abs_diff(now);
    if age > seconds("staleAfter") {
        return Err(format!("the agent has been silent for {age} s"));
    }
    if matches!(fields.boolean("ready"), Ok(Some(true))) {
        return Ok(());
    }
    let reasons = fields.strings("reasons").ok().flatten().unwrap_or_default();
    Err(if reasons.is_empty() { "no reason given".to_owned() } else { reasons.join("; ") })
}

fn not_ready(path: &Path, why: &str) -> Error {
    Error::new(Code::NotAvailable, "the node agent is not ready").with_details(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(state: &Value, now: u64) -> Result<(), String> {
        judge(state.to_string().as_bytes(), now)
    }

    #[test]
    fn fuzz_any_agents_file_is_judged() {
        fuzz::run("agents-file", |state| {
            let why = judge(state, 100);
            assert!(why.is_ok() || why.is_err_and(|why| !why.is_empty()));
        });
    }

    #[test]
    fn an_agent_that_lives_and_is_ready_is_ready() {
        let state = json!({"version": 1, "bootTime": 100, "staleAfter": 35, "ready": true, "reasons": []});
        assert_eq!(judged(&state, 100), Ok(()));
        assert_eq!(judged(&state, 135), Ok(()));
        assert_eq!(judged(&state, 136), Err("the agent has been silent for 36 s".to_owned()));
        // Another boot: its clock starts again.
        assert!(judged(&state, 3).is_err());
    }

    #[test]
    fn an_agent_that_is_not_ready_says_why() {
        let state = json!({"version": 1, "bootTime": 100, "staleAfter": 35, "ready": false, "reasons": ["a", "b"]});
        assert_eq!(judged(&state, 100), Err("a; b".to_owned()));
    }

    #[test]
    fn pods_wait_for_the_first_routes_only() {
        let routed = |state: &Value| has_routed(state.to_string().as_bytes());
        assert!(!routed(&json!({"version": 1, "ready": false, "routed": false})));
        assert!(routed(&json!({"version": 1, "ready": false, "routed": true})), "trouble of later");
        assert!(routed(&json!({"version": 1, "ready": false})), "of an older agent");
        assert!(has_routed(b"{"), "a word that does not read");
        let missing = require_routed(Path::new("/nowhere/node.json")).unwrap_err();
        assert_eq!(missing.code, Code::TryAgain);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_ready() {
        for state in [json!(null), json!({}), json!({"version": 2, "ready": true})] {
            assert!(judged(&state, 0).is_err(), "{state}");
        }
        assert!(judge(b"{\"version\":1,", 0).is_err());
    }
}
