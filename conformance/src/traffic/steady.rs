//! A client that never stops: for what must not break anything that runs.
//!
//! It asks each server over and over, each time by a new connection, and holds one connection to each that carries a
//! line back and forth. Whatever fails is told at once, with the time since the start.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::probe::ask;
use super::socket::connection;

/// Between two questions to the same server.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two sums.
const TELL: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Sum {
    asked: u64,
    carried: u64,
    failed: u64,
    slowest: Duration,
    news: Vec<String>,
}

/// Asks until killed. Lines on `out`: `asked 100, carried 100, failed 0, slowest 3 ms`, and before it one `failed ..` for
/// each failure.
///
/// # Errors
/// When `out` is closed.
pub fn steady(servers: &[SocketAddr], out: &mut impl Write) -> io::Result<()> {
    let start = Instant::now();
    let sum = Mutex::new(Sum::default());
    let tell = |what: &str, server: SocketAddr, done: io::Result<()>, took: Duration| {
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        *(if what == "asked" { &mut sum.asked } else { &mut sum.carried }) += 1;
        sum.slowest = sum.slowest.max(took);
        if let Err(error) = done {
            sum.failed += 1;
            sum.news.push(format!("failed at {:?}: {what} {server}: {error}", start.elapsed()));
        }
    };
    thread::scope(|scope| {
        for &server in servers {
            let tell = &tell;
            scope.spawn(move || {
                loop {
                    let began = Instant::now();
                    tell("asked", server, ask(server, None, "who").map(drop), began.elapsed());
                    thread::sleep(PAUSE);
                }
            });
            scope.spawn(move || {
                loop {
                    let broken = hold(server, |took| tell("carried", server, Ok(()), took));
                    tell("carried", server, broken, Duration::ZERO);
                    thread::sleep(PAUSE);
                }
            });
        }
        loop {
            thread::sleep(TELL);
            let Sum { asked, carried, failed, slowest, news } =
                &mut *sum.lock().unwrap_or_else(PoisonError::into_inner);
            for line in news.drain(..) {
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
    let (mut heard, mut stream) = (BufReader::new(stream.try_clone()?), stream);
    writeln!(stream, "hold")?;
    let mut line = String::new();
    loop {
        let began = Instant::now();
        writeln!(stream, "still there")?;
        line.clear();
        if heard.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        carried(began.elapsed());
        thread::sleep(PAUSE);
    }
}
