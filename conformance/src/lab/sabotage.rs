//! A command that is killed, or whose system call fails, at each of its system calls in turn. strace does the
//! injection.

use std::collections::BTreeSet;
use std::fs;

use super::{Command, Error, Node, Output, skip};

/// The file that strace writes, on the node.
const TRACE: &str = "/run/trace";

/// More calls of one name than any command makes.
const BOUND: usize = 1000;

/// What is done to a command, and what must hold afterwards.
pub struct Sabotage<'a, Before, Make, Run, Then> {
    /// What strace does at the call: `signal=KILL`, `error=ENOBUFS`, `retval=16`. A signal that can be caught arrives
    /// after the call.
    pub tamper: &'a str,
    /// The system calls that are chosen.
    pub of: &'a dyn Fn(&str) -> bool,
    /// Restores the initial state.
    pub before: Before,
    /// The command.
    pub command: Make,
    /// Waits for the command's end; a daemon has to be ended.
    pub run: Run,
    /// Judges the state afterwards. Its text says at which call the command was hit.
    pub then: Then,
}

/// Whether strace is installed; a loud skip where it is not.
#[must_use]
pub fn has_strace() -> bool {
    let found = std::process::Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if !found {
        skip("strace is missing (apt-get install strace)");
    }
    found
}

impl<Before, Make, Run, Then> Sabotage<'_, Before, Make, Run, Then>
where
    Before: Fn() -> Result<(), Error>,
    Make: Fn() -> Result<Command, Error>,
    Run: Fn(Command) -> Result<Output, Error>,
    Then: Fn(&str, &Output) -> Result<(), Error>,
{
    /// Tampers with each call in turn. Returns the number of calls.
    ///
    /// # Errors
    /// Those of the closures, and a command that was not hit and fails.
    pub fn at_each_call(&self, node: &Node) -> Result<usize, Error> {
        self.at_calls(node, |number| number + 1)
    }

    /// Tampers with calls of each name, of each thread: the first, and those that `next` gives after each. Returns their number.
    ///
    /// # Errors
    /// As [`Sabotage::at_each_call`].
    pub fn at_calls(&self, node: &Node, next: impl Fn(usize) -> usize) -> Result<usize, Error> {
        (self.before)()?;
        let (calls, whole) = self.calls(node)?;
        (self.then)("after a whole run", &whole)?;
        let mut points = 0;
        for call in &calls {
            let mut number = 1;
            while number < BOUND {
                (self.before)()?;
                let inject = format!("--inject={call}:{}:when={number}", self.tamper);
                let strace = ["-f", "-qq", "-o", TRACE, &format!("--trace={call}"), &inject];
                let output = (self.run)((self.command)()?.under("strace", strace))?;
                let trace = read(node);
                let met = ["killed by SIG", "stopped by SIG", "INJECTED"].iter().any(|word| trace.contains(word));
                let when = format!("{} at {call} number {number}", self.tamper);
                if !met && !output.success() {
                    return Err(output.but(&format!("it should have met {when}, or succeeded")));
                }
                (self.then)(&when, &output)?;
                if !met {
                    break;
                }
                points += 1;
                number = next(number);
            }
        }
        Ok(points)
    }

    /// The system calls that the command makes, by name, without those of its start and its end.
    fn calls(&self, node: &Node) -> Result<(BTreeSet<String>, Output), Error> {
        let output = (self.run)((self.command)()?.under("strace", ["-f", "-qq", "-o", TRACE]))?;
        let mut calls = BTreeSet::new();
        for line in read(node).lines() {
            let name = line.split_once(' ').and_then(|(_pid, call)| call.trim_start().split_once('('));
            if let Some((name, _)) = name
                && !matches!(name, "execve" | "exit_group")
                && (self.of)(name)
            {
                calls.insert(name.to_owned());
            }
        }
        Ok((calls, output))
    }
}

fn read(node: &Node) -> String {
    fs::read_to_string(node.path(TRACE)).unwrap_or_default()
}
