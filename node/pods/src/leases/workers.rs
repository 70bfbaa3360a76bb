//! Threads that do blocking work for one store at a time, and send their results over one channel. A thread that is late
//! blocks only its own store: another thread takes the next job. Which jobs there are is decided in [`super::keep`]: one at
//! a time, and none for a store that has not answered. So there is at most one thread more than there are stores.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;

use parts::thread;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::keep::interface::Job;

type Work = Box<dyn FnOnce() + Send>;

/// The threads.
pub(super) struct Workers<T> {
    /// One that waits for work.
    free: Option<mpsc::Sender<Work>>,
    busy: BTreeMap<PathBuf, mpsc::Sender<Work>>,
    results: UnboundedSender<(Job, Option<T>)>,
    done: UnboundedReceiver<(Job, Option<T>)>,
}

/// Where the result of a job goes; a job that panics drops it.
struct Reply<T> {
    job: Option<Job>,
    results: UnboundedSender<(Job, Option<T>)>,
}

impl<T> Reply<T> {
    fn send(mut self, result: T) {
        if let Some(job) = self.job.take() {
            // Nobody waits any more.
            let _ = self.results.send((job, Some(result)));
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let _ = self.results.send((job, None));
        }
    }
}

impl<T: Send + 'static> Workers<T> {
    pub(super) fn new() -> Self {
        let (results, done) = unbounded_channel();
        Self { free: None, busy: BTreeMap::new(), results, done }
    }

    /// Has `work` done; fails where no thread can be started.
    pub(super) fn start(&mut self, job: Job, work: impl FnOnce() -> T + Send + 'static) -> io::Result<()> {
        let worker = self.free.take().map_or_else(start, Ok)?;
        let directory = job.directory.clone();
        let reply = Reply { job: Some(job), results: self.results.clone() };
        // One that has ended drops the reply.
        let _ = worker.send(Box::new(move || reply.send(work())));
        self.busy.insert(directory, worker);
        Ok(())
    }

    /// Waits for the next result; `None` of a job that panicked.
    pub(super) async fn done(&mut self) -> (Job, Option<T>) {
        let Some((job, result)) = self.done.recv().await else { return std::future::pending().await };
        let worker = self.busy.remove(&job.directory);
        if result.is_some() {
            self.free = worker;
        }
        (job, result)
    }
}

/// A thread that works until nobody has work for it.
fn start() -> io::Result<mpsc::Sender<Work>> {
    let (worker, works) = mpsc::channel::<Work>();
    thread::start("store", move || works.into_iter().for_each(|work| work()))?;
    Ok(worker)
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    fn job(sweep: u64, directory: &str) -> Job {
        Job { sweep, directory: directory.into() }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn one_that_hangs_has_its_own_thread_and_all_other_jobs_share_one() {
        run(async {
            let mut workers = Workers::<ThreadId>::new();
            let (release, held) = mpsc::channel::<()>();
            let id = || std::thread::current().id();
            workers.start(job(0, "a"), move || held.recv().map_or_else(|_| id(), |()| id())).unwrap();
            let mut threads = Vec::new();
            for sweep in 1..50 {
                workers.start(job(sweep, "b"), id).unwrap();
                let (done, thread) = workers.done().await;
                assert_eq!(done, job(sweep, "b"));
                threads.extend(thread);
            }
            threads.dedup();
            assert_eq!(threads.len(), 1);
            release.send(()).unwrap();
            let (done, thread) = workers.done().await;
            assert_eq!(done, job(0, "a"));
            assert_ne!(thread, threads.pop());
        });
    }

    #[test]
    fn one_that_panics_is_replaced() {
        run(async {
            let mut workers = Workers::<u8>::new();
            workers.start(job(1, "a"), || panic!("glass")).unwrap();
            assert_eq!(workers.done().await, (job(1, "a"), None));
            workers.start(job(2, "a"), || 7).unwrap();
            assert_eq!(workers.done().await, (job(2, "a"), Some(7)));
        });
    }
}
