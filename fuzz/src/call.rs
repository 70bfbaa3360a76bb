//! An input that is a call of a program: lines of `NAME=VALUE`, an empty line, and what stdin holds. The corpus `call` has
//! this form.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Splits an input into the variables, in their order, and the bytes of stdin.
#[must_use]
pub fn call(input: &[u8]) -> (Vec<(OsString, OsString)>, &[u8]) {
    let mut variables = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else { break };
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        variables.push((text(&line[..equals]), text(&line[equals + 1..])));
    }
    (variables, rest)
}
