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
    skip_is_red: bool,
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
            Some(Verdict::Skipped) if self.skip_is_red => Some((test, "was skipped")),
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
            (false, false) => match self.tests.iter().filter(|(_, verdict)| *verdict == Some(Verdict::Skipped)).count()
            {
                0 => "passed",
                skipped if skipped == self.tests.len() => "skipped",
                _ => "passed, some skipped",
            },
        }
    }
}

/// A row for each requirement, in their order.
pub(crate) fn rows<'a>(requirements: &'a [Requirement], named: &Named, ran: &Ran, skip_is_red: bool) -> Vec<Row<'a>> {
    let row = |requirement: &'a Requirement| {
        let by_name = named.iter().filter(|(_, ids)| ids.contains(&requirement.id)).map(|(test, _)| test.clone());
        let mut tests: BTreeSet<Test> = by_name.collect();
        if let Shown::By(test) = &requirement.shown {
            tests.insert(test.clone());
        }
        let tests = tests.into_iter().map(|test| (test.clone(), ran.verdict(&test))).collect();
        Row { requirement, tests, skip_is_red }
    };
    requirements.iter().map(row).collect()
}

/// `N shown by tests, N not for us, N red`.
pub(crate) fn sum(rows: &[Row<'_>]) -> String {
    let red = rows.iter().filter(|row| row.red().is_some()).count();
    let without = rows.iter().filter(|row| row.tests.is_empty() && row.red().is_none()).count();
    let skipped = rows.iter().filter(|row| row.result().contains("skipped")).count();
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} of them skipped in part or whole") };
    format!("{} shown by tests{skipped}, {without} with a reason instead, {red} red", rows.len() - without - red)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdicts: &[Verdict], skip_is_red: bool) -> (&'static str, bool) {
        let requirement = Requirement { id: "S-001".to_owned(), what: "it holds".to_owned(), shown: Shown::ByName };
        let tests = verdicts.iter().map(|verdict| {
            let test = Test { suite: "conformance".to_owned(), name: "it_holds".to_owned() };
            (test, Some(*verdict))
        });
        let row = Row { requirement: &requirement, tests: tests.collect(), skip_is_red };
        (row.result(), row.red().is_some())
    }

    #[test]
    fn a_row_whose_test_was_skipped_says_so_and_is_red_where_skips_are() {
        use Verdict::{Failed, Passed, Skipped};
        assert_eq!(row(&[Passed], true), ("passed", false));
        assert_eq!(row(&[Skipped], false), ("skipped", false));
        assert_eq!(row(&[Passed, Skipped], false), ("passed, some skipped", false));
        assert_eq!(row(&[Passed, Skipped], true), ("**red**", true));
        assert_eq!(row(&[Skipped, Failed], false), ("**red**", true));
    }
}
