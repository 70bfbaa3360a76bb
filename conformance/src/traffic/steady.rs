//! A client that runs without end: for changes that must not break existing traffic.
//!
//! It sends requests to each server again and again, each by a new connection, and holds one connection to each that
//! carries a line back and forth. Each failure is printed at once, with the time since the start.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::probe::ask;
use super::socket::connection;

/// Between two requests to the same server.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Sum {
    asked: u64,
    carried: u64,
    failed: u64,
    slowest: Duration,
    failures: Vec<String>,
}

/// Sends requests until killed. Lines on `out`: `asked 100, carried 100, failed 0, slowest 3 ms`, and before it one
/// `failed ..` for each failure.
///
/// # Errors
/// When `out` is closed.
pub fn steady(servers: &[SocketAddr], out: &mut impl Write) -> io::Result<()> {
    let start = Instant::now();
    let sum = Mutex::new(Sum::default());
    let report = |what: &str, server: SocketAddr, done: io::Result<()>, took: Duration| {
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        *(if what == "asked" { &mut sum.asked } else { &mut sum.carried }) += 1;
        sum.slowest = sum.slowest.max(took);
        if let Err(error) = done {
            sum.failed += 1;
            sum.failures.push(format!("failed at {:?}: {what} {server}: {error}", start.elapsed()));
        }
    };
    thread::scope(|scope| {
        for &server in servers {
            let report = &report;
            scope.spawn(move || {
                loop {
                    let began = Instant::now();
                    report("asked", server, ask(server, None, "who").map(drop), began.elapsed());
                    thread::sleep(PAUSE);
                }
            });
            scope.spawn(move || {
                loop {
                    let broken = hold(server, |took| report("carried", server, Ok(()), took));
                    report("carried", server, broken, Duration::ZERO);
                    thread::sleep(PAUSE);
                }
            });
        }
        loop {
            thread::sleep(REPORT_EVERY);
            let Sum { asked, carried, failed, slowest, failures } =
                &mut *sum.lock().unwrap_or_else(PoisonError::into_inner);
            for line in failures.drain(..) {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "asked {asked}, carried {carried}, failed {failed}, slowest {} ms", slowest.as_millis())?;
            out.flush()?;
        }
    })
}

/// Sends lines over one connection and waits for each to come back; ends only with an error.
fn hold(server: SocketAddr, mut carried: impl FnMut(Duration)) -> io::Result<()> {
    let stream = connection(server, None)?;
    let (mut reader, mut stream) = (BufReader::new(stream.try_clone()?), stream);
    writeln!(stream, "hold")?;
    let mut line = String::new();
    loop {
        let began = Instant::now();
        writeln!(stream, "still there")?;
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        carried(began.elapsed());
        thread::sleep(PAUSE);
    }
}
