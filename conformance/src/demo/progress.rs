//! What the demo prints while it works: a line for each step, rewritten in place on a terminal, plain in a file.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::lab::Error;

/// The steps' column: `  ✓ agents    `.
const NAME: usize = 10;

/// Prints the steps.
pub(super) struct Progress<'out> {
    out: &'out mut dyn Write,
    colour: bool,
}

impl<'out> Progress<'out> {
    pub(super) fn new(out: &'out mut dyn Write, colour: bool) -> Self {
        Self { out, colour }
    }

    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        let text = self.bold(text);
        writeln!(self.out, "\n{text}\n")
    }

    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", text.trim_end())
    }

    pub(super) fn closing(&mut self, text: &str, good: bool) -> io::Result<()> {
        let text = self.paint(if good { "1;32" } else { "1;31" }, text);
        writeln!(self.out, "\n{text}")?;
        self.out.flush()
    }

    /// Takes a step that must succeed, and prints what it did and how long it took.
    pub(super) fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<(T, String), Error>,
    ) -> Result<T, Error> {
        self.pending(name, "");
        let started = Instant::now();
        let done = work();
        match &done {
            Ok((_, what)) => self.done(name, what, true, started.elapsed()),
            Err(_) => self.done(name, "failed", false, started.elapsed()),
        }
        done.map(|(value, _)| value)
    }

    /// Checks whether something holds, and prints the outcome. `holds` returns what it found, or why it does not hold.
    pub(super) fn check(&mut self, name: &str, holds: impl FnOnce() -> Result<String, Error>) -> bool {
        self.pending(name, "");
        let started = Instant::now();
        match holds() {
            Ok(what) => {
                self.done(name, &what, true, started.elapsed());
                true
            }
            Err(why) => {
                self.done(name, "does not hold", false, started.elapsed());
                for line in why.to_string().lines() {
                    writeln!(self.out, "      {line}").ok();
                }
                false
            }
        }
    }

    /// Shows how far a step has come; on a terminal only.
    pub(super) fn pending(&mut self, name: &str, what: &str) {
        if self.colour {
            // A terminal that fails does not end the demo.
            write!(self.out, "\r\x1b[K  {} {name:<NAME$}{what}", self.paint("2", "○")).ok();
            self.out.flush().ok();
        }
    }

    pub(super) fn done(&mut self, name: &str, what: &str, good: bool, took: Duration) {
        let mark = if good { self.paint("32", "✓") } else { self.paint("31", "✗") };
        let took = self.paint("2", &format!("{} ms", took.as_millis()));
        let back = if self.colour { "\r\x1b[K" } else { "" };
        writeln!(self.out, "{back}  {mark} {name:<NAME$}{what}  {took}").ok();
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
