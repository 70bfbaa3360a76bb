//! The system calls, page faults and instructions of a program, counted and not timed: the same on every machine and in every
//! run. Owns the instruments, strace, getrusage(2) and valgrind's callgrind; the caller knows the expected counts.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

use crate::lab::Error;

/// The system calls that a program makes, and the netlink requests among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// System calls, those of its children too.
    pub system: u64,
    /// Netlink requests: one system call may carry several.
    pub netlink: u64,
}

/// Runs a program to its successful end and counts its system calls and netlink requests.
///
/// # Errors
/// When it fails, or strace does.
pub fn calls(command: &Command, stdin: &[u8]) -> Result<Calls, Error> {
    let log = tempfile::NamedTempFile::new().map_err(Error::system("make a file for strace"))?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-e", "abbrev=none", "-o"]).arg(log.path());
    run(strace, command, stdin)?;
    let text = std::fs::read_to_string(log.path()).map_err(Error::system("read what strace wrote"))?;
    Ok(Calls::of(text.lines()))
}

impl Calls {
    /// Those in lines of strace, which was started with `-f -e abbrev=none`.
    #[must_use]
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let of_calls = lines.filter(|line| !line.contains(" resumed>"));
        of_calls.fold(Self { system: 0, netlink: 0 }, |sum, line| Self {
            system: sum.system + 1,
            netlink: sum.netlink + if line.contains(" send") { count(line, "nlmsg_flags=NLM_F_REQUEST") } else { 0 },
        })
    }
}

fn count(text: &str, word: &str) -> u64 {
    text.matches(word).map(|_| 1).sum()
}

/// Runs a program to its successful end and counts the instructions that it executes, without those of the kernel.
///
/// # Errors
/// When it fails, or valgrind does.
pub fn instructions(command: &Command, stdin: &[u8]) -> Result<u64, Error> {
    let log = tempfile::NamedTempFile::new().map_err(Error::system("make a file for valgrind"))?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(format!("--log-file={}", log.path().display()));
    run(valgrind, command, stdin)?;
    let text = std::fs::read_to_string(log.path()).map_err(Error::system("read what valgrind wrote"))?;
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.ok_or_else(|| Error::Unreadable { from: "valgrind".into(), said: text })
}

/// Runs a program to its successful end and counts its page faults for which nothing was read from a disk, with those of its
/// children.
///
/// The kernel adds them up for all children of this process: no other may be waited for meanwhile.
///
/// # Errors
/// When it fails.
pub fn page_faults(command: &mut Command, stdin: &[u8]) -> Result<u64, Error> {
    let so_far = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Error::system("ask for page faults"))?;
        Ok::<_, Error>(u64::try_from(usage.minor_page_faults()).unwrap_or_default())
    };
    let before = so_far()?;
    let input = input(stdin).map_err(Error::system("fill a pipe"))?;
    let output = command.stdin(input).stderr(Stdio::inherit()).output();
    succeeded(command, &output.map_err(Error::system(format!("start {command:?}")))?)?;
    Ok(so_far()? - before)
}

/// Runs `command` as the last arguments of the instrument, with the command's environment only.
fn run(mut instrument: Command, command: &Command, stdin: &[u8]) -> Result<(), Error> {
    let environment = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    instrument.arg(command.get_program()).args(command.get_args()).env_clear().envs(environment);
    let input = input(stdin).map_err(Error::system("fill a pipe"))?;
    let output = instrument.stdin(input).stderr(Stdio::inherit()).output();
    let output = output.map_err(Error::system(format!("start {instrument:?}")))?;
    succeeded(&instrument, &output)
}

fn succeeded(command: &Command, output: &Output) -> Result<(), Error> {
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Unreadable {
            from: format!("{command:?}"),
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
        }),
    }
}

/// A pipe that holds `bytes` and then ends. A network configuration is far shorter than a pipe's buffer (64 KiB).
///
/// # Errors
/// The system's.
pub fn input(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let (read, write) = nix::unistd::pipe()?;
    File::from(write).write_all(bytes)?;
    Ok(read)
}
