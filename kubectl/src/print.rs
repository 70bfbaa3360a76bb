//! What goes to standard output and standard error. Texts of nodes are for a terminal: a control character in one is shown as a
//! space, so that no node can move the cursor or hide a line.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

/// Prints a report as JSON, or as text.
pub(crate) fn report(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let printed = if json {
        serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        out.write_all(plain(&text()).as_bytes())
    };
    printed.and_then(|()| out.flush()).map_err(|error| format!("failed to write: {error}"))
}

/// Bytes, as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| format!("failed to write: {error}"))
}

/// An error, or a note, on standard error.
pub(crate) fn error(text: &str) {
    // It cannot be reported if stderr is closed too.
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// The text without control characters but the ends of lines, and without characters that turn the direction of others.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // The formatting of a String cannot fail.
                let _ = write!(plain, "\\u{:04x}", u32::from(c));
            }
            c => plain.push(if c.is_control() { ' ' } else { c }),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_node_moves_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\r\tc\u{9b}31m\n\u{202e}d"), "a [2Jb  c 31m\n\\u202ed");
    }
}
