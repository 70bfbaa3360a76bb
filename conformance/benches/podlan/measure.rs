//! One process, from exec to exit: how long it took, and the CPU time that it used.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use podlan_conformance::cost::input;

use crate::Failure;

/// What one process cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From exec to exit.
    pub(crate) wall: Duration,
    /// User and system time, of it and of what it started.
    pub(crate) cpu: Duration,
}

/// Runs a program that reads `stdin` and must succeed. All of its input is in the pipe before it starts, so that it
/// does not wait for the benchmark.
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Result<Cost, Failure> {
    command.stdin(input(stdin)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    let before = used()?;
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    let wall = began.elapsed();
    if !status.success() {
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        return Err(format!("{command:?} {status}: {said}").into());
    }
    Ok(Cost { wall, cpu: used()?.saturating_sub(before) })
}

/// The CPU time of all children that have been waited for.
fn used() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let duration = |time: nix::sys::time::TimeVal| -> Result<Duration, Failure> {
        Ok(Duration::new(time.tv_sec().try_into()?, u32::try_from(time.tv_usec())? * 1000))
    };
    Ok(duration(usage.user_time())? + duration(usage.system_time())?)
}
