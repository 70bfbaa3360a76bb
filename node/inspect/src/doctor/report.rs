//! What the doctor found, as text for people and as JSON.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

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

/// What `podlan-node doctor --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Each check.
    pub checks: Vec<Check>,
    /// What `--fix` leaves to the operator.
    pub left: Vec<Left>,
    /// What `--fix` did.
    #[serde(rename = "mended")]
    pub fixed: Vec<Fixed>,
    /// Nothing is wrong, and each check could run.
    pub ok: bool,
    /// The release of the program that printed it; "" where it does not say so.
    #[serde(default)]
    pub release: String,
}

/// A check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub check: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<Condition>>,
    /// `ok`, `moot`, `wrong` or `unknown`.
    pub state: String,
    /// What is well, or why there is nothing to check or it could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was not looked at, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// A problem that `--fix` leaves to the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The check's name.
    pub check: String,
    /// Why it is left.
    pub why: String,
    /// What is wrong.
    pub wrong: String,
}

/// What `--fix` did, or why it could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// Whether it is fixed.
    #[serde(rename = "mended")]
    pub fixed: bool,
    /// What was done, or why it could not be.
    pub text: String,
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
    pub fn answer(&self, release: &str) -> Answer {
        let left = |(check, problem): (&str, &Condition)| Left {
            check: check.to_owned(),
            why: problem.left.clone(),
            wrong: problem.wrong.clone(),
        };
        let fixed = |done: &Result<String, String>| Fixed {
            fixed: done.is_ok(),
            text: done.as_ref().unwrap_or_else(|why| why).clone(),
        };
        Answer {
            checks: self.outcomes.iter().map(|(check, outcome)| Check::of(check, outcome)).collect(),
            left: self.left().into_iter().map(left).collect(),
            fixed: self.done.iter().map(fixed).collect(),
            ok: self.code() == 0,
            release: release.to_owned(),
        }
    }
}

impl Check {
    fn of(check: &str, outcome: &Outcome) -> Self {
        let state = |state: &str| Self {
            check: check.to_owned(),
            problems: None,
            state: state.to_owned(),
            text: None,
            unknown: None,
        };
        match outcome {
            Ok(Finding::Fine(text)) => Self { text: Some(text.clone()), ..state("ok") },
            Ok(Finding::Partly { fine, unknown }) => {
                Self { text: Some(fine.clone()), unknown: Some(unknown.clone()), ..state("ok") }
            }
            Ok(Finding::Moot(text)) => Self { text: Some(text.clone()), ..state("moot") },
            Ok(Finding::Wrong(problems)) => Self { problems: Some(problems.clone()), ..state("wrong") },
            Err(text) => Self { text: Some(text.clone()), ..state("unknown") },
        }
    }
}

#[cfg(test)]
mod tests;
