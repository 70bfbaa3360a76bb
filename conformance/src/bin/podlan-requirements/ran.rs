//! How each test ended, by what the test programs said: libtest's lines beneath scripts/test's headings, `go test -v`'s.

use std::collections::BTreeMap;

use crate::named::{HARNESS, Test};

/// How a test ended. The worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It passed.
    Passed,
    /// It could not run here, and said so.
    Skipped,
    /// It failed.
    Failed,
}

/// All tests that ran.
#[derive(Default)]
pub(crate) struct Ran {
    rust: BTreeMap<Test, Verdict>,
    go: Vec<(String, Verdict)>,
}

impl Ran {
    /// Takes in what a run said.
    pub(crate) fn read(&mut self, log: &str) {
        let mut suite = "";
        for line in log.lines() {
            if let Some(heading) = line.strip_prefix("== ") {
                suite = heading.split('/').next().unwrap_or_default();
            } else if let Some((name, verdict)) = libtest(line) {
                let name = name.rsplit("::").next().unwrap_or(name).to_owned();
                let own = self.rust.entry(Test { suite: suite.to_owned(), name }).or_insert(verdict);
                *own = verdict.max(*own);
            } else if let Some((name, verdict)) = go(line.trim_start()) {
                self.go.push((name.to_owned(), verdict));
            } else if let Some(name) = skipped(line) {
                self.rust.entry(Test { suite: "conformance".to_owned(), name }).and_modify(|own| {
                    *own = Verdict::Skipped.max(*own);
                });
            }
        }
    }

    /// How `test` ended; `None` when it did not run. Of a Go case that ran several times, the worst.
    pub(crate) fn verdict(&self, test: &Test) -> Option<Verdict> {
        if test.suite != HARNESS {
            return self.rust.get(test).copied();
        }
        let same = |name: &str| name.split('/').any(|part| part.starts_with(&*test.name)) || name.contains(&*test.name);
        self.go.iter().filter(|(name, _)| same(name)).map(|(_, verdict)| *verdict).max()
    }
}

/// `test a::b::c ... ok`
fn libtest(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let verdict = match verdict.split([',', ' ']).next()? {
        "ok" => Verdict::Passed,
        "ignored" => Verdict::Skipped,
        "FAILED" => Verdict::Failed,
        _ => return None,
    };
    Some((name.trim_end_matches(" - should panic"), verdict))
}

/// `--- PASS: TestPtp/1.0.0/H-037_… (0.05s)`
fn go(line: &str) -> Option<(&str, Verdict)> {
    let (verdict, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
    let verdict = match verdict {
        "PASS" => Verdict::Passed,
        "SKIP" => Verdict::Skipped,
        "FAIL" => Verdict::Failed,
        _ => return None,
    };
    Some((rest.rsplit_once(" (")?.0, verdict))
}

/// A line of scripts/test's list of loud skips: `  module::name: why`.
fn skipped(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix("  ")?.split_once(": ")?;
    let name = name.rsplit("::").next()?;
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then(|| name.to_owned())
}
