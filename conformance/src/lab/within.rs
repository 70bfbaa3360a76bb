//! A test inside a lab. libtest runs many threads, but the kernel allows a new user namespace only to a process with
//! one thread: so the test starts its own program again under `podlan-lab enter`, for this one test.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Error, INSIDE, Lab, Node, binaries, has_strace, patient, refusal};

/// The deadline of a test in a lab, in seconds where PODLAN_LAB_DEADLINE gives it: the long forms set it.
const DEADLINE: Duration = Duration::from_secs(180);

/// Passes the test's name to the program inside the lab.
const TEST: &str = "PODLAN_TEST";

/// Runs a test's body inside a new lab; to be called from a `#[test]` function with a closure written there.
///
/// Where the machine refuses user namespaces the test is skipped, loudly; with `CI=true` it fails.
///
/// # Panics
/// When the body fails, with the full report.
#[track_caller]
pub fn within<F: FnOnce() -> Result<(), Error>>(body: F) {
    run_in_lab(test_of::<F>(), body);
}

/// The test that a closure is written in: its type name has the function's name, with the program before it.
fn test_of<F>() -> &'static str {
    let closure = std::any::type_name::<F>();
    closure.split_once("::").map_or(closure, |(_, path)| path).trim_end_matches("::{{closure}}")
}

#[track_caller]
fn run_in_lab(test: &str, body: impl FnOnce() -> Result<(), Error>) {
    if std::env::var_os(INSIDE).is_some() {
        return body().unwrap_or_else(|error| panic!("{error}"));
    }
    let (code, said) = run_inside(test).unwrap_or_else(|error| panic!("{error}"));
    match code {
        Some(0) if said.contains("test result: ok. 1 passed") => show(&said),
        Some(code) if code == i32::from(refusal::EXIT_CODE) => skip(&said),
        Some(0) => panic!("no test {test:?} ran inside the lab: {said}"),
        _ => panic!("inside the lab:\n{said}"),
    }
}

/// As [`within`], with the one node of a new lab, for a test that runs programs under strace. Without strace the test
/// is skipped.
///
/// # Panics
/// As [`within`].
#[track_caller]
pub fn within_with_strace<F: FnOnce(&Node) -> Result<(), Error>>(body: F) {
    if has_strace() {
        run_in_lab(test_of::<F>(), || {
            let lab = Lab::new(1)?;
            let [node] = lab.these();
            body(node)
        });
    }
}

/// Prints the output of a test that passed: its figures. libtest shows it on request.
#[expect(clippy::print_stdout, reason = "libtest catches it")]
fn show(said: &str) {
    print!("{said}");
}

/// Reports that a test did not run, and why; with `CI=true` that is a failure.
///
/// # Panics
/// With `CI=true`.
#[track_caller]
pub fn skip(why: &str) {
    let why = why.trim();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true forbids: {why}");
    set_aside(why);
}

/// Reports that a test did not run, and why, for parts that CI does not need either.
#[expect(clippy::print_stderr, reason = "a skip is loud")]
pub fn set_aside(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(file) = std::env::var_os("PODLAN_SKIPPED") {
        let line = format!("{}: {}\n", test_name(), why.lines().next().unwrap_or(""));
        let open = std::fs::OpenOptions::new().append(true).create(true).open(file);
        open.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes())).ok();
    }
}

/// The running test, as `module::name`: inside a lab and under cargo-nextest the environment has it; libtest alone
/// names the test's thread after it.
fn test_name() -> String {
    let by_environment = ["NEXTEST_TEST_NAME", TEST].iter().find_map(|name| std::env::var(name).ok());
    by_environment.unwrap_or_else(|| std::thread::current().name().unwrap_or("main").to_owned())
}

fn run_inside(test: &str) -> Result<(Option<i32>, String), Error> {
    let myself = std::env::current_exe().map_err(Error::system("find my own program"))?;
    let log = tempfile::tempfile().map_err(Error::system("make a file for the test's output"))?;
    let copy = || log.try_clone().map(Stdio::from).map_err(Error::system("share the test's output"));
    let mut lab = Command::new(binaries::lab()?)
        .env(binaries::FOLDER, binaries::folder()?)
        .env(TEST, test)
        .args(["enter", "--"])
        .arg(myself)
        .args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"])
        .stdin(Stdio::null())
        .stdout(copy()?)
        .stderr(copy()?)
        .spawn()
        .map_err(Error::system("start the lab"))?;
    let seconds = std::env::var("PODLAN_LAB_DEADLINE").ok().and_then(|seconds| seconds.parse().ok());
    let until = Instant::now() + seconds.map_or_else(|| patient(DEADLINE), Duration::from_secs);
    let status = loop {
        match lab.try_wait().map_err(Error::system("wait for the lab"))? {
            Some(status) => break status.code(),
            None if Instant::now() > until => {
                lab.kill().ok();
                lab.wait().ok();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let said = read(log).map_err(Error::system("read the test's output"))?;
    Ok((status, said))
}

fn read(mut log: std::fs::File) -> std::io::Result<String> {
    use std::io::{Read, Seek};
    let mut said = Vec::new();
    log.rewind()?;
    log.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
