//! Running a program with a deadline: its input and its output are served at once, on the caller's own thread.
//! A program that has not ended by then is killed with all processes of its group, and is waited for: no zombie is left.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// An answer may be this long, bytes; what comes after it is not read.
const ANSWER: usize = 1 << 20;

/// How often to look whether the program has ended while something that it started holds its output open.
const LOOK: Duration = Duration::from_millis(100);

/// How long a killed program may take to end: a process in the kernel ends when it leaves it.
const DYING: Duration = Duration::from_secs(2);

/// How the program ended.
pub(super) enum Ended {
    /// By itself; what it printed.
    Itself(ExitStatus, Vec<u8>),
    /// At the deadline.
    Killed,
}

/// Runs it in a process group of its own.
pub(super) fn execute(mut command: Command, stdin: &[u8], patience: Duration) -> io::Result<Ended> {
    let until = Instant::now() + patience;
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
    let mut running = Running { child: spawned, ended: None };
    let input = running.child.stdin.take().map(|pipe| unblocked(pipe.into())).transpose()?;
    let output = running.child.stdout.take().map(|pipe| unblocked(pipe.into())).transpose()?;
    let mut pipes = Pipes { input, left: stdin, output, answer: Vec::new() };
    while pipes.output.is_some() {
        let now = Instant::now();
        if now >= until {
            return Ok(Ended::Killed);
        }
        let idle = pipes.serve(LOOK.min(until - now))?;
        // A process that it left behind may hold the pipe: what was said until its end is the answer.
        if idle && running.has_ended()? {
            break;
        }
    }
    // Its output is closed: it ends, or has.
    while !running.has_ended()? {
        if Instant::now() >= until {
            return Ok(Ended::Killed);
        }
        thread::sleep(Duration::from_micros(200));
    }
    let status = running.ended.ok_or(io::ErrorKind::Other)?;
    Ok(Ended::Itself(status, pipes.answer))
}

fn unblocked(pipe: OwnedFd) -> io::Result<File> {
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(pipe.into())
}

/// The program. Dropped before its end, it is killed, and waited for.
struct Running {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    fn has_ended(&mut self) -> io::Result<bool> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // It has not been waited for: the group's number is still its own.
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let until = Instant::now() + DYING;
        while !self.has_ended().unwrap_or(true) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The program's input and output. It may answer before it has read everything, or never read.
struct Pipes<'a> {
    input: Option<File>,
    left: &'a [u8],
    output: Option<File>,
    answer: Vec<u8>,
}

impl Pipes<'_> {
    /// Waits until one of the two can go on, and serves it. Whether nothing could.
    fn serve(&mut self, most: Duration) -> io::Result<bool> {
        if self.left.is_empty() {
            self.input = None;
        }
        let mut waiting = Vec::with_capacity(2);
        waiting.extend(self.output.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        waiting.extend(self.input.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        // Rounded up: the deadline is looked at by the caller.
        let timeout = PollTimeout::try_from(most + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waiting, timeout) {
            Ok(0) => return Ok(true),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        drop(waiting);
        self.write();
        self.read()?;
        Ok(false)
    }

    /// What it does not read is dropped.
    fn write(&mut self) {
        let Some(pipe) = &mut self.input else { return };
        match pipe.write(self.left) {
            Ok(count) => self.left = &self.left[count..],
            Err(error) if is_not_now(&error) => {}
            Err(_) => self.left = &[],
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.output else { return Ok(()) };
        let mut bytes = [0; 16 * 1024];
        match pipe.read(&mut bytes) {
            Ok(0) => self.output = None,
            Ok(count) => {
                let room = ANSWER.saturating_sub(self.answer.len());
                self.answer.extend_from_slice(&bytes[..count.min(room)]);
            }
            Err(error) if is_not_now(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn answer(script: &str, stdin: &[u8]) -> (bool, Vec<u8>) {
        match execute(shell(script), stdin, LONG).unwrap() {
            Ended::Itself(status, answer) => (status.success(), answer),
            Ended::Killed => panic!("{script} was killed"),
        }
    }

    #[test]
    fn a_program_gets_its_input_and_its_output_is_the_answer() {
        let long: Vec<u8> = (0..500_000).map(|number: u32| b'a' + u8::try_from(number % 26).unwrap()).collect();
        assert_eq!(answer("cat", &long), (true, long.clone()));
        assert_eq!(answer("printf early; exec <&-; exit 3", &long), (false, b"early".to_vec()));
        assert_eq!(answer("true", &long), (true, Vec::new()));
        assert_eq!(answer("head -c 3000000 /dev/zero", b"").1.len(), ANSWER);
    }

    #[test]
    fn what_a_program_leaves_behind_does_not_hold_its_answer_back() {
        let begun = Instant::now();
        assert_eq!(answer("sleep 20 & printf said", b""), (true, b"said".to_vec()));
        assert!(begun.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children_and_leaves_no_zombie() {
        let home = std::env::temp_dir().join(format!("podlan-execute-{}", std::process::id()));
        for script in ["sleep 1000 & echo $! $$ >$FILE; wait", "echo $$ >$FILE; exec >&-; sleep 1000 & wait"] {
            let mut command = shell(script);
            command.env("FILE", &home);
            let begun = Instant::now();
            let ended = execute(command, b"in", Duration::from_millis(700)).unwrap();
            assert!(matches!(ended, Ended::Killed) && begun.elapsed() >= Duration::from_millis(700));
            let pids = std::fs::read_to_string(&home).unwrap();
            std::fs::remove_file(&home).unwrap();
            let program = pids.split_whitespace().last().unwrap();
            assert!(!std::path::Path::new("/proc").join(program).exists(), "{program} was not waited for");
            for pid in pids.split_whitespace() {
                let gone = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                    // A grandchild is its new parent's to wait for.
                    Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
                    Err(_) => true,
                };
                let until = Instant::now() + Duration::from_secs(10);
                while !gone() {
                    assert!(Instant::now() < until, "{pid} lives on");
                    thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }
}
