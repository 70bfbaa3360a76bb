//! Threads that do blocking work for one network at a time. A thread that is late blocks only its network: another
//! thread replaces it, and the network gets no more work until the late one is done. So there is at most one thread
//! more than there are networks.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use parts::thread;
use tokio::sync::oneshot;
use tokio::time::timeout;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, and the work of those that are late.
pub(super) struct Workers<T> {
    /// The thread that waits for work.
    free: Option<mpsc::Sender<Job>>,
    late: BTreeMap<PathBuf, Late<T>>,
}

struct Late<T> {
    worker: mpsc::Sender<Job>,
    answer: oneshot::Receiver<T>,
}

/// The result of a piece of work.
pub(super) enum WorkResult<T> {
    Done(T),
    /// It is still running.
    Late,
    /// It panicked.
    Failed,
    /// No thread could be started for it.
    NoThread(io::Error),
}

impl<T: Send + 'static> Workers<T> {
    pub(super) fn new() -> Self {
        Self { free: None, late: BTreeMap::new() }
    }

    /// Runs `work` for `whom` and waits for it, but no longer than `patience`.
    pub(super) async fn work(
        &mut self,
        whom: &Path,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> WorkResult<T> {
        if let Some(Late { worker, mut answer }) = self.late.remove(whom) {
            match answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.late.insert(whom.to_owned(), Late { worker, answer });
                    return WorkResult::Late;
                }
                // A late result is outdated.
                Ok(_) => self.free = Some(worker),
                Err(oneshot::error::TryRecvError::Closed) => return WorkResult::Failed,
            }
        }
        let worker = match self.free.take().map_or_else(start, Ok) {
            Ok(worker) => worker,
            Err(error) => return WorkResult::NoThread(error),
        };
        let (found, mut answer) = oneshot::channel();
        let job = Box::new(move || {
            // The waiting side is gone.
            let _ = found.send(work());
        });
        if worker.send(job).is_err() {
            return WorkResult::Failed;
        }
        match timeout(patience, &mut answer).await {
            Ok(Ok(found)) => {
                self.free = Some(worker);
                WorkResult::Done(found)
            }
            Ok(Err(_panicked)) => WorkResult::Failed,
            Err(_late) => {
                self.late.insert(whom.to_owned(), Late { worker, answer });
                WorkResult::Late
            }
        }
    }

    /// Forgets late work of networks that are not kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        self.late.retain(|whom, late| keep(whom) || late.answer.is_empty() && !late.answer.is_terminated());
    }
}

/// A thread that works until the sender of work is dropped.
fn start() -> io::Result<mpsc::Sender<Job>> {
    let (worker, jobs) = mpsc::channel::<Job>();
    thread::start("store", move || jobs.into_iter().for_each(|job| job()))?;
    Ok(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn one_that_hangs_keeps_its_own_network_alone_and_no_thread_more_is_started_for_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut workers, [a, b]) = (Workers::new(), ["a", "b"].map(Path::new));
            let (release, held) = mpsc::channel::<()>();
            let hang = move || held.recv().map_or(0, |()| 0);
            assert!(matches!(workers.work(a, PATIENCE, hang).await, WorkResult::Late));
            for round in 1..50 {
                assert!(matches!(workers.work(a, PATIENCE, || panic!("it is busy")).await, WorkResult::Late));
                assert!(
                    matches!(workers.work(b, LONG, move || round).await, WorkResult::Done(found) if found == round)
                );
                assert_eq!(workers.late.len(), 1);
            }
            release.send(()).unwrap();
            let until = std::time::Instant::now() + LONG;
            while !matches!(workers.work(a, LONG, || 7).await, WorkResult::Done(7)) {
                assert!(std::time::Instant::now() < until);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    #[test]
    fn one_that_panics_is_replaced() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut workers, a) = (Workers::new(), Path::new("a"));
            assert!(matches!(workers.work(a, LONG, || panic!("glass")).await, WorkResult::<u8>::Failed));
            assert!(matches!(workers.work(a, LONG, || 7).await, WorkResult::Done(7)));
        });
    }
}
