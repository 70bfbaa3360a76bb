//! Writes the log: lines wait in a bounded queue for a thread that writes them to stderr, so that a reader that stops
//! does not block the agent. Lines for which there is no room are counted and dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use parts::thread;
use tracing_subscriber::fmt::MakeWriter;

/// The length of the queue.
const LINES: usize = 1024;

/// How long the process waits for the last lines when it ends.
const LAST_LINES: Duration = Duration::from_millis(300);

/// How many lines are kept for `podlan-node report`, and how much of each, in bytes.
const KEPT: usize = 1000;
const OF_EACH: usize = 1024;

/// The last lines of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Arc<Mutex<VecDeque<Box<str>>>>);

impl Recent {
    fn keep(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(&line[..line.len().min(OF_EACH)]);
        let mut lines = self.locked();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.trim_end().into());
    }

    /// The lines, the oldest first.
    pub(crate) fn lines(&self) -> Vec<Box<str>> {
        self.locked().iter().cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending side of the queue.
#[derive(Clone)]
pub(crate) struct Log {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<LineCounts>,
    recent: Recent,
}

#[derive(Default)]
struct LineCounts {
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

impl Log {
    /// Starts the thread; `None` where it cannot be started.
    pub(crate) fn start(to: impl Write + Send + 'static) -> Option<Self> {
        let (lines, written) = sync_channel(LINES);
        let counts = Arc::new(LineCounts::default());
        let counted = counts.clone();
        thread::start("log", move || write(&written, to, &counted)).ok()?;
        Some(Self { lines, counts, recent: Recent::default() })
    }

    /// The last lines, whether they could be written or not.
    pub(crate) fn recent(&self) -> Recent {
        self.recent.clone()
    }

    /// Waits briefly for the last lines.
    pub(crate) fn flush(&self) {
        let until = Instant::now() + LAST_LINES;
        while self.counts.waiting.load(Ordering::Acquire) > 0 && Instant::now() < until {
            sleep(Duration::from_millis(1));
        }
    }
}

/// Writes until the senders are dropped. Errors of stderr cannot be reported.
fn write(lines: &Receiver<Vec<u8>>, mut to: impl Write, counts: &LineCounts) {
    while let Ok(line) = lines.recv() {
        let _ = to.write_all(&line);
        counts.waiting.fetch_sub(1, Ordering::Release);
        match counts.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => drop(writeln!(to, "{lost} lines of the log were lost: they were not read in time")),
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.recent.keep(line);
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.lines.try_send(line.to_vec()) {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_stops_holds_up_nobody_and_learns_how_many_lines_it_missed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = Log::start(writer).unwrap();
        let begun = Instant::now();
        // Far more than a pipe and the queue hold.
        (0..10_000).for_each(|_| log.clone().write_all(&[b'x'; 200]).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(20));
        let mut text = String::new();
        let mut piece = [0; 65536];
        while !text.contains("lines of the log were lost") {
            let count = reader.read(&mut piece).unwrap();
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        log.flush();
    }

    #[test]
    fn the_last_thousand_lines_are_kept_and_none_is_kept_whole_that_is_long() {
        let log = Log::start(io::sink()).unwrap();
        (0..3000).for_each(|number| log.clone().write_all(format!("line {number}\n").as_bytes()).unwrap());
        log.clone().write_all(&[b'x'; 5000]).unwrap();
        let lines = log.recent().lines();
        assert_eq!((lines.len(), &*lines[0], &*lines[998]), (KEPT, "line 2001", "line 2999"));
        assert_eq!(lines[999].len(), OF_EACH);
    }
}
