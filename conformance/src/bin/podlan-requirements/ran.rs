//! How each test ended: from the JUnit report of cargo-nextest, and from the output of `go test -v`.

use std::collections::BTreeMap;

use crate::named::{HARNESS, Test, suite_of};

/// How a test ended. The worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It passed.
    Passed,
    /// It could not run here.
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
    /// Adds the results of a report.
    pub(crate) fn read(&mut self, log: &str) {
        for (test, verdict) in log.split("<testcase ").skip(1).filter_map(junit) {
            let own = self.rust.entry(test).or_insert(verdict);
            *own = verdict.max(*own);
        }
        self.go.extend(log.lines().filter_map(|line| go(line.trim_start())).map(|(name, how)| (name.to_owned(), how)));
    }

    /// Adds the tests that were skipped: a line `module::name: why` for each. Two programs may have a test of one name.
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

/// `name="a::b::c" classname="PACKAGE::PROGRAM" … />`, or with elements up to `</testcase>`; in their text `<` is escaped.
fn junit(case: &str) -> Option<(Test, Verdict)> {
    let (attributes, inside) = case.split_once('>')?;
    let inside = if attributes.ends_with('/') { "" } else { inside.split("</testcase>").next()? };
    let attribute = |name: &str| attributes.split_once(&format!("{name}=\""))?.1.split('"').next();
    let name = attribute(" name").or_else(|| attribute("name"))?.rsplit("::").next()?.to_owned();
    let suite = suite_of(attribute("classname")?.split("::").next()?);
    let verdict = match inside {
        bad if bad.contains("<failure") || bad.contains("<error") => Verdict::Failed,
        skipped if skipped.contains("<skipped") => Verdict::Skipped,
        _ => Verdict::Passed,
    };
    Some((Test { suite, name }, verdict))
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
            "<testcase name=\"faults::fine\" classname=\"podlan-conformance::runtimes\" time=\"1.0\"/>
            <testcase name=\"faults::aside\" classname=\"podlan-conformance::runtimes\" time=\"1.0\"/>
            <testcase name=\"bad\" classname=\"podlan-conformance::lab\" time=\"1.0\"><failure>no</failure></testcase>",
        );
        ran.skip("faults::aside: missing containerd: apt-get install containerd\nbad: no strace\n");
        let verdict = |name: &str| ran.verdict(&Test { suite: "conformance".to_owned(), name: name.to_owned() });
        let verdicts = ["fine", "aside", "bad", "unknown"].map(verdict);
        assert_eq!(verdicts, [Some(Verdict::Passed), Some(Verdict::Skipped), Some(Verdict::Failed), None]);
    }
}
