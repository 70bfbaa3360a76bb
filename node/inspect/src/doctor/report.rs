//! What the doctor found, as text for people and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::finding::{Finding, Outcome};
use conditions::Condition;

/// What the checks found, and what was fixed before.
pub struct Report {
    /// What `--fix` did, or why it could not.
    pub done: Vec<Result<String, String>>,
    /// Whether `--fix` was given.
    pub fixed: bool,
    /// Each check and its outcome.
    pub outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// The exit code: 0: nothing is wrong; 1: something is wrong; 2: a check could not run. What a check cannot see with the
    /// rights of the agent's container is no reason for 2: that is how it is on every healthy node.
    pub fn code(&self) -> u8 {
        let wrong = self.outcomes.iter().any(|(_, outcome)| matches!(outcome, Ok(Finding::Wrong(_))));
        let unknown = self.outcomes.iter().any(|(_, outcome)| outcome.is_err());
        match (wrong, unknown) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 0,
        }
    }

    /// The problems that `--fix` leaves to the operator, each with the reason.
    fn left(&self) -> Vec<(&'static str, &Condition)> {
        let problems = self.outcomes.iter().filter(|_| self.fixed);
        let problems = problems.filter_map(|outcome| match &outcome.1 {
            Ok(Finding::Wrong(problems)) => Some((outcome.0, problems)),
            _ => None,
        });
        let all = problems.flat_map(|(check, problems)| problems.iter().map(move |problem| (check, problem)));
        all.filter(|(_, problem)| !problem.left.is_empty()).collect()
    }

    /// The report for people.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for done in &self.done {
            match done {
                Ok(done) => writeln!(out, "fixed     {done}")?,
                Err(why) => writeln!(out, "not fixed: {why}")?,
            }
        }
        for (check, problem) in self.left() {
            writeln!(out, "not fixed: {check}: {}: {}", problem.wrong, problem.left)?;
        }
        let width = self.outcomes.iter().map(|(check, _)| check.len()).max().unwrap_or_default();
        let (mut wrong, mut unknown) = (0, 0);
        for (check, outcome) in &self.outcomes {
            match outcome {
                Ok(Finding::Fine(fine)) => writeln!(out, "ok        {check:width$}  {fine}")?,
                Ok(Finding::Partly { fine, unknown: why }) => {
                    unknown += 1;
                    writeln!(out, "ok        {check:width$}  {fine}")?;
                    writeln!(out, "unknown   {check:width$}  {why}")?;
                }
                Ok(Finding::Moot(why)) => writeln!(out, "-         {check:width$}  {why}")?,
                Err(why) => {
                    unknown += 1;
                    writeln!(out, "unknown   {check:width$}  {why}")?;
                }
                Ok(Finding::Wrong(problems)) => {
                    for problem in problems {
                        wrong += 1;
                        writeln!(out, "WRONG     {check:width$}  {}", problem.wrong)?;
                        writeln!(out, "          {:width$}  why:  {}", "", problem.why)?;
                        writeln!(out, "          {:width$}  fix:  {}", "", problem.cure)?;
                    }
                }
            }
        }
        match (wrong, unknown) {
            (0, 0) => writeln!(out, "nothing is wrong"),
            (0, unknown) => writeln!(out, "nothing that was looked at is wrong; unknown: {unknown}"),
            (wrong, 0) => writeln!(out, "problems: {wrong}"),
            (wrong, unknown) => writeln!(out, "problems: {wrong}; unknown: {unknown}"),
        }
    }

    /// The report for machines.
    pub fn json(&self) -> Value {
        let check = |(check, outcome): &(&str, Outcome)| match outcome {
            Ok(Finding::Fine(text)) => json!({ "check": check, "state": "ok", "text": text }),
            Ok(Finding::Partly { fine, unknown }) => {
                json!({ "check": check, "state": "ok", "text": fine, "unknown": unknown })
            }
            Ok(Finding::Moot(text)) => json!({ "check": check, "state": "moot", "text": text }),
            Ok(Finding::Wrong(problems)) => json!({ "check": check, "state": "wrong", "problems": problems }),
            Err(text) => json!({ "check": check, "state": "unknown", "text": text }),
        };
        let done = |done: &Result<String, String>| match done {
            Ok(text) => json!({ "mended": true, "text": text }),
            Err(text) => json!({ "mended": false, "text": text }),
        };
        json!({
            "ok": self.code() == 0,
            "left": self.left().iter().map(|(check, problem)| json!({
                "check": check, "wrong": problem.wrong, "why": problem.left,
            })).collect::<Vec<_>>(),
            "mended": self.done.iter().map(done).collect::<Vec<_>>(),
            "checks": self.outcomes.iter().map(check).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests;
