//! What the node agent says of itself, for STATUS: a small file, written anew every few seconds (`node/src/state.rs`).

use std::path::Path;
use std::{fs, io};

use cni::{Code, Error, Fields};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// The version of the file that we can read.
const VERSION: u32 = 1;

/// Error 50 unless the agent lives and its routes are in.
pub(crate) fn require_ready(path: &Path) -> Result<(), Error> {
    let told = fs::read(path).map_err(|source| not_ready(path, &unreadable(&source)))?;
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| now.tv_sec().cast_unsigned());
    judge(&told, now).map_err(|why| not_ready(path, &why))
}

fn unreadable(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => "the agent has not started since this node has".to_owned(),
        _ => source.to_string(),
    }
}

/// Why the file does not say that the agent is ready, at `now` seconds of the boot clock.
fn judge(told: &[u8], now: u64) -> Result<(), String> {
    let Ok(Value::Object(object)) = serde_json::from_slice(told) else { return Err("it is not readable".to_owned()) };
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

    fn judged(told: &Value, now: u64) -> Result<(), String> {
        judge(told.to_string().as_bytes(), now)
    }

    #[test]
    fn fuzz_any_agents_file_is_judged() {
        fuzz::run("agents-file", |told| {
            let why = judge(told, 100);
            assert!(why.is_ok() || why.is_err_and(|why| !why.is_empty()));
        });
    }

    #[test]
    fn an_agent_that_lives_and_is_ready_is_ready() {
        let told = json!({"version": 1, "bootTime": 100, "staleAfter": 35, "ready": true, "reasons": []});
        assert_eq!(judged(&told, 100), Ok(()));
        assert_eq!(judged(&told, 135), Ok(()));
        assert_eq!(judged(&told, 136), Err("the agent has been silent for 36 s".to_owned()));
        // Another boot: its clock starts anew.
        assert!(judged(&told, 3).is_err());
    }

    #[test]
    fn an_agent_that_is_not_ready_says_why() {
        let told = json!({"version": 1, "bootTime": 100, "staleAfter": 35, "ready": false, "reasons": ["a", "b"]});
        assert_eq!(judged(&told, 100), Err("a; b".to_owned()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_ready() {
        for told in [json!(null), json!({}), json!({"version": 2, "ready": true})] {
            assert!(judged(&told, 0).is_err(), "{told}");
        }
        assert!(judge(b"{\"version\":1,", 0).is_err());
    }
}
