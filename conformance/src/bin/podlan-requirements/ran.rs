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
            }
        }
    }

    /// Takes in the tests that were skipped: a line `module::name: why` for each. Two programs may have a test of one name.
    pub(crate) fn skip(&mut self, list: &str) {
        let skipped: Vec<&str> = list.lines().filter_map(skipped).collect();
        for (test, verdict) in &mut self.rust {
            if skipped.contains(&test.name.as_str()) {
                *verdict = Verdict::Skipped.max(*verdict);
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

/// The test of a line `module::name: why`.
fn skipped(line: &str) -> Option<&str> {
    line.split_once(": ")?.0.rsplit("::").next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_is_not_taken_for_passed_and_a_failed_one_not_for_skipped() {
        let mut ran = Ran::default();
        ran.read(
            "== conformance/containerd\ntest faults::fine ... ok\ntest faults::aside ... ok\ntest bad ... FAILED\n",
        );
        ran.skip("faults::aside: missing containerd: apt-get install containerd\nbad: no strace\n");
        let verdict = |name: &str| ran.verdict(&Test { suite: "conformance".to_owned(), name: name.to_owned() });
        let verdicts = ["fine", "aside", "bad", "unknown"].map(verdict);
        assert_eq!(verdicts, [Some(Verdict::Passed), Some(Verdict::Skipped), Some(Verdict::Failed), None]);
    }
}
