//! Kubernetes' own tests of a cluster's network, on podlan: `e2e.test`. Each spec is a run of its own, a few at a time,
//! so that each has its own deadline and none ends with another. The result of each is printed and written to a list.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Node, SHARED};
use serde_json::Value;

use crate::containerd_2::image;
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::{checks, dns, sequence, toolbox};

/// Selects the specs; by default those that a conformant network must pass.
const FOCUS: &str = "PODLAN_E2E";
const CONFORMANCE: &str = r"\[sig-network\].*\[Conformance\]";

/// Leaves out of these the specs that match it; by default none.
const SKIP: &str = "PODLAN_E2E_SKIP";

/// Names a directory for the list, and for the output of each spec that did not pass.
const REPORT: &str = "PODLAN_E2E_REPORT";

/// Specs at once, on two cores.
const AT_ONCE: usize = 3;

/// The deadline of one spec, and that of all.
const LIMIT: Duration = Duration::from_secs(360);
const WHOLE: Duration = Duration::from_secs(25 * 60);

/// How a spec ended, and why where it did not pass.
#[derive(Debug, Clone, PartialEq)]
enum How {
    Passed,
    Skipped(String),
    Failed(String),
    NotRun,
}

struct Ended {
    name: String,
    how: How,
    took: Duration,
}

impl Ended {
    fn line(&self) -> String {
        let (word, why) = match &self.how {
            How::Passed => ("passed", String::new()),
            How::Skipped(why) => ("skipped", format!(": {why}")),
            How::Failed(why) => ("FAILED", format!(": {why}")),
            How::NotRun => ("not run", ": the time of all was over".into()),
        };
        format!("{word:<7} {:>5.0} s  {}{why}", self.took.as_secs_f64(), self.name)
    }
}

/// Runs the specs. Each must pass, and all must have run.
pub fn specs(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let suite = Suite::new(cluster)?;
    let names = suite.names(&std::env::var(FOCUS).unwrap_or_else(|_| CONFORMANCE.to_owned()))?;
    sequence::note(&format!("{} specs, {AT_ONCE} at a time", names.len()));
    let mut ended = suite.run_all(names);
    ended.sort_by(|one, other| one.name.cmp(&other.name));
    suite.write_down(&ended)?;
    let passed = ended.iter().filter(|spec| spec.how == How::Passed).count();
    sequence::note(&format!("{passed} of {} passed", ended.len()));
    let others: Vec<String> = ended.iter().filter(|spec| spec.how != How::Passed).map(Ended::line).collect();
    checks::pods::holds(others.is_empty() && passed > 0, "every spec passes", &others)
}

/// The program, and where it runs.
struct Suite {
    node: Node,
    program: PathBuf,
    report: PathBuf,
}

impl Suite {
    /// With what the specs need: images by their names, and names in the cluster.
    fn new(cluster: &Cluster<'_>) -> Result<Self, Error> {
        let program = cluster.server.programs.join("e2e.test");
        let listed = cluster.server.node.command(&program).arg("--list-images").succeeds()?;
        let named = |words: &[&str]| -> Vec<&str> {
            listed.lines().filter(|name| words.iter().any(|word| name.contains(word))).collect()
        };
        toolbox::give(cluster, named(&["/agnhost:", "e2e-test-images/busybox:", "/glibc-dns-testing:"]))?;
        for machine in &cluster.machines {
            machine.tag(image::NAME, named(&["/pause:"]))?;
        }
        dns::deploy(cluster)?;
        let report = std::env::var_os(REPORT).map_or_else(|| Path::new(SHARED).join("e2e"), PathBuf::from);
        fs::create_dir_all(&report)
            .map_err(|source| Error::System { doing: format!("make {}", report.display()), source })?;
        Ok(Self { node: cluster.server.node.clone(), program, report })
    }

    /// One run of the program. Returns its report and its output.
    fn call(&self, name: &str, focus: &str, words: &[&str]) -> Result<(Value, String), String> {
        let file = Path::new(SHARED).join(format!("{name}.json"));
        let command = self.node.command(&self.program).env("HOME", "/run").deadline(LIMIT + Duration::from_secs(60));
        let run = command
            .args(["--kubeconfig", "/run/kubernetes/admin.conf", "--provider", "skeleton", "--num-nodes", "3"])
            .arg("--kubectl-path")
            .arg(self.program.with_file_name("kubectl"))
            .args(["--disable-log-dump", "--ginkgo.no-color", "--ginkgo.silence-skips", "--ginkgo.focus", focus])
            .args(["--ginkgo.timeout", &format!("{}s", LIMIT.as_secs()), "--ginkgo.json-report"])
            .arg(&file)
            .args(words);
        let said = run.run().map_err(|error| error.to_string())?;
        let said = format!("{}{}", said.stdout, said.stderr);
        let text = fs::read_to_string(&file).map_err(|_| format!("it made no report: {}", last_line(&said)))?;
        fs::remove_file(&file).ok();
        Ok((serde_json::from_str(&text).map_err(|error| error.to_string())?, said))
    }

    /// The names of the specs that match a regular expression.
    fn names(&self, focus: &str) -> Result<VecDeque<String>, Error> {
        let skip = std::env::var(SKIP).unwrap_or_default();
        let leave_out = if skip.is_empty() { vec![] } else { vec!["--ginkgo.skip", &skip] };
        let listed = self.call("list", focus, &[&["--ginkgo.dry-run"], &leave_out[..]].concat());
        let (report, _) = listed.map_err(|said| Error::Unreadable { from: "e2e.test".into(), said })?;
        Ok(of_report(&report).into_iter().map(|(name, _)| name).collect())
    }

    fn run_all(&self, names: VecDeque<String>) -> Vec<Ended> {
        let (began, waiting, ended) = (Instant::now(), Mutex::new(names), Mutex::new(Vec::new()));
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = || {
            while let Some(name) = next() {
                let (start, left) = (Instant::now(), began.elapsed() < WHOLE);
                let how = if left { self.run(&name) } else { How::NotRun };
                let spec = Ended { name, how, took: start.elapsed() };
                sequence::note(&spec.line());
                ended.lock().unwrap_or_else(PoisonError::into_inner).push(spec);
            }
        };
        thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
        ended.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, name: &str) -> How {
        let file = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let (report, said) = match self.call(&file, &literally(name), &[]) {
            Ok(answer) => answer,
            Err(why) => return How::Failed(why),
        };
        // Others may begin with its name.
        let it = of_report(&report).into_iter().find(|(one, _)| one == name);
        let how = it.map_or_else(|| How::Failed(format!("it did not run: {}", last_line(&said))), |(_, how)| how);
        if how != How::Passed {
            fs::write(self.report.join(format!("{file}.log")), said).ok();
        }
        how
    }

    fn write_down(&self, ended: &[Ended]) -> Result<(), Error> {
        let mut list = String::from("| spec | | seconds |\n|---|---|---|\n");
        for Ended { name, how, took } in ended {
            let how = match how {
                How::Passed => "passed".to_owned(),
                How::Skipped(why) => format!("skipped: {why}"),
                How::Failed(why) => format!("failed: {why}"),
                How::NotRun => "not run".to_owned(),
            };
            writeln!(list, "| {name} | {how} | {:.0} |", took.as_secs_f64()).ok();
        }
        let file = self.report.join("specs.md");
        fs::write(&file, list).map_err(|source| Error::System { doing: format!("write {}", file.display()), source })
    }
}

/// The specs of a report that the expression did not exclude.
fn of_report(report: &Value) -> Vec<(String, How)> {
    let specs = report[0]["SpecReports"].as_array().into_iter().flatten();
    specs
        .filter(|spec| spec["LeafNodeType"] == "It")
        .filter_map(|spec| {
            let words = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().chain([&spec["LeafNodeText"]]);
            let name = words.filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
            let why = spec["Failure"]["Message"].as_str().unwrap_or_default();
            let why = why.lines().next().unwrap_or_default().to_owned();
            match spec["State"].as_str().unwrap_or_default() {
                "passed" => Some((name, How::Passed)),
                "skipped" if why.is_empty() => None,
                "skipped" => Some((name, How::Skipped(why))),
                state => Some((name, How::Failed(format!("{state}: {why}")))),
            }
        })
        .collect()
}

/// A regular expression that matches this text only.
fn literally(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, letter| {
        if r"\.+*?()|[]{}^$".contains(letter) {
            all.push('\\');
        }
        all.push(letter);
        all
    })
}

fn last_line(said: &str) -> &str {
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default()
}
