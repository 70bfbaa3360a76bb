//! The table: a row for each requirement, and what is red about it.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::named::{HARNESS, Named, Test};
use crate::ran::{Ran, Verdict};
use crate::requirement::{Requirement, Shown};

/// So many tests of a requirement are named in the table.
const NAMED: usize = 3;

/// A requirement with the tests that show it.
pub(crate) struct Row<'a> {
    requirement: &'a Requirement,
    tests: Vec<(Test, Option<Verdict>)>,
}

impl Row<'_> {
    /// What is wrong with this requirement, if anything.
    pub(crate) fn red(&self) -> Option<String> {
        let Requirement { id, what, shown } = self.requirement;
        if self.tests.is_empty() {
            return match shown {
                Shown::Not(_) => None,
                _ => Some(format!("{id} ({what}): no test names it, and no reason is given")),
            };
        }
        let bad = self.tests.iter().find_map(|(test, verdict)| match verdict {
            Some(Verdict::Passed | Verdict::Skipped) => None,
            Some(Verdict::Failed) => Some((test, "failed")),
            None => Some((test, "did not run")),
        });
        bad.map(|(test, how)| format!("{id} ({what}): {}: {} {how}", test.suite, test.name))
    }

    fn result(&self) -> &'static str {
        match (self.red().is_some(), self.tests.is_empty()) {
            (true, _) => "**red**",
            (false, true) => "-",
            (false, false) if self.tests.iter().all(|(_, verdict)| *verdict == Some(Verdict::Passed)) => "passed",
            (false, false) => "passed, some skipped",
        }
    }
}

/// A row for each requirement, in their order.
pub(crate) fn rows<'a>(requirements: &'a [Requirement], named: &Named, ran: &Ran) -> Vec<Row<'a>> {
    let row = |requirement: &'a Requirement| {
        let by_name = named.iter().filter(|(_, ids)| ids.contains(&requirement.id)).map(|(test, _)| test.clone());
        let mut tests: BTreeSet<Test> = by_name.collect();
        if let Shown::By(test) = &requirement.shown {
            tests.insert(test.clone());
        }
        let tests = tests.into_iter().map(|test| (test.clone(), ran.verdict(&test))).collect();
        Row { requirement, tests }
    };
    requirements.iter().map(row).collect()
}

/// `N shown by tests, N not for us, N red`.
pub(crate) fn sum(rows: &[Row<'_>]) -> String {
    let red = rows.iter().filter(|row| row.red().is_some()).count();
    let without = rows.iter().filter(|row| row.tests.is_empty() && row.red().is_none()).count();
    format!("{} shown by tests, {without} with a reason instead, {red} red", rows.len() - without - red)
}

/// The table in Markdown.
pub(crate) fn markdown(rows: &[Row<'_>]) -> String {
    let mut text = String::from(
        "# Conformance\n\nWhat CNI demands, and the test that shows it: written by `scripts/test` from its own run. The \
         requirements are in\nconformance/requirements; a Rust test names them in its comments, a Go test in its name.\n\n",
    );
    // Nothing that is written to a String fails.
    let _ = writeln!(text, "{}.\n\n| item | what | test | result |\n|---|---|---|---|", sum(rows));
    for row in rows {
        let Requirement { id, what, shown } = row.requirement;
        let mut tests: Vec<String> = row.tests.iter().take(NAMED).map(|(test, _)| label(test)).collect();
        if row.tests.len() > NAMED {
            tests.push(format!("and {} more", row.tests.len() - NAMED));
        }
        if let (Shown::Not(reason), true) = (shown, row.tests.is_empty()) {
            tests.push(reason.clone());
        }
        let _ = writeln!(text, "| {id} | {what} | {} | {} |", tests.join("<br>").replace('|', "\\|"), row.result());
    }
    text
}

fn label(test: &Test) -> String {
    let ids = |word: &&str| !word.contains('-') || !word.starts_with(['S', 'H', 'E', 'D']);
    let words = test.name.split('_').filter(ids).collect::<Vec<_>>().join(" ");
    match test.suite.as_str() {
        HARNESS if words.is_empty() => format!("harness: {}", test.name.replace('_', " ")),
        suite => format!("{suite}: {words}"),
    }
}
