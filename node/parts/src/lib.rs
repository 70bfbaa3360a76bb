//! The agent's parts: each owns what can block (files, locks, nftables), on a thread of its own, and the loop receives
//! its results by messages alone. A part that ends or panics is started again; one that is stuck is named.
//!
//! ```text
//!   the loop ── what should be (watch) ──▶ a part ── how it stands (watch), changed ──▶ the loop
//! ```

use std::any::Any;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

mod activity;
mod at;
mod output;
mod readiness;
mod slot;
mod spare;
pub mod thread;

pub use activity::{Activity, Begun};
pub use at::at;
pub use output::Output;
pub use readiness::Readiness;
pub use slot::Slot;
pub use spare::Spare;

/// How long a part waits before it is started again: at first, and at most. Each time twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How long a part must have run for its last end to be forgotten.
const WELL: Duration = Duration::from_secs(3);

/// How long a part may be at one thing before it is named.
const SLOW: Duration = Duration::from_secs(3);

/// How long parts may take to end when the agent does. One that hangs does not keep it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a part does until it is stopped: a future that ends only when it cannot go on, and says why.
type Work = Pin<Box<dyn Future<Output = String>>>;
type Run = Arc<dyn Fn(Activity) -> Work + Send + Sync>;

/// All parts of an agent.
pub struct Parts {
    parts: Vec<Part>,
    stop: watch::Sender<bool>,
}

struct Part {
    name: &'static str,
    run: Run,
    activity: Activity,
    state: PartState,
    /// How often it ended since it last was well.
    ends: u32,
    /// Its last end, until it is well.
    trouble: Option<String>,
}

enum PartState {
    Running { thread: JoinHandle<String>, since: Instant },
    Waiting { until: Instant },
}

impl Default for Parts {
    fn default() -> Self {
        Self { parts: Vec::new(), stop: watch::channel(false).0 }
    }
}

impl Parts {
    /// Starts a part. `run` is called on its thread, inside a runtime of the part's own, and may block there; it is called
    /// again after each end, so that it begins from what it is given and from nothing that it had.
    pub fn start<F>(&mut self, name: &'static str, run: impl Fn(Activity) -> F + Send + Sync + 'static)
    where
        F: Future<Output = String> + 'static,
    {
        let now = Instant::now();
        let mut part = Part {
            name,
            run: Arc::new(move |activity| Box::pin(run(activity))),
            activity: Activity::default(),
            state: PartState::Waiting { until: now },
            ends: 0,
            trouble: None,
        };
        part.tend(now, &self.stop);
        self.parts.push(part);
    }

    /// Starts again what has ended, once it is due.
    pub fn tend(&mut self, now: Instant) {
        for part in &mut self.parts {
            part.tend(now, &self.stop);
        }
    }

    /// What an operator should know of them.
    pub fn troubles(&self, now: Instant) -> Vec<String> {
        self.parts.iter().flat_map(|part| part.troubles(now)).collect()
    }

    /// Asks all of them to end, and waits for those that do.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let until = Instant::now() + LAST_WORDS;
        let runs = |part: &Part| matches!(&part.state, PartState::Running { thread, .. } if !thread.is_finished());
        while self.parts.iter().any(runs) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.parts.retain(runs);
        for part in &self.parts {
            tracing::warn!(part = part.name, doing = part.activity.doing(), "a part of the agent did not end in time");
        }
    }
}

impl Part {
    fn tend(&mut self, now: Instant, stop: &watch::Sender<bool>) {
        self.state = match std::mem::replace(&mut self.state, PartState::Waiting { until: now }) {
            PartState::Running { thread, since } if !thread.is_finished() => {
                if self.trouble.is_some() && now.saturating_duration_since(since) > WELL {
                    tracing::info!(part = self.name, "the part runs again");
                    (self.trouble, self.ends) = (None, 0);
                }
                PartState::Running { thread, since }
            }
            PartState::Running { thread, .. } => {
                let why = match thread.join() {
                    Ok(why) => format!("ended: {why}"),
                    Err(panic) => format!("panicked: {}", text(&*panic)),
                };
                self.ended(why, now)
            }
            PartState::Waiting { until } if until > now => PartState::Waiting { until },
            PartState::Waiting { .. } => match self.thread(stop.subscribe()) {
                Ok(thread) => PartState::Running { thread, since: now },
                Err(error) => self.ended(format!("could not be started: {error}"), now),
            },
        }
    }

    /// It waits the longer the more often it has ended.
    fn ended(&mut self, why: String, now: Instant) -> PartState {
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(part = self.name, why, "a part of the agent is started again");
        }
        self.activity.clear();
        self.trouble = Some(why);
        let wait = FIRST_WAIT.saturating_mul(1 << self.ends.min(10)).min(LONGEST_WAIT);
        self.ends = self.ends.saturating_add(1);
        PartState::Waiting { until: now + wait }
    }

    fn thread(&self, mut stop: watch::Receiver<bool>) -> io::Result<JoinHandle<String>> {
        let (run, activity) = (self.run.clone(), self.activity.clone());
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return format!("start its runtime: {error}"),
            };
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    // A future that is not done is dropped where it waits, never in the middle of a change.
                    _ = stop.wait_for(|stop| *stop) => "the agent ends".to_owned(),
                    why = run(activity) => why,
                }
            })
        };
        thread::start(self.name, body)
    }

    fn troubles(&self, now: Instant) -> impl Iterator<Item = String> {
        let ended =
            self.trouble.as_ref().map(|why| format!("the agent's part {:?} {why}; it is started again", self.name));
        let slow = self.activity.slow(now, SLOW).map(|doing| {
            format!("the agent's part {:?} has been stuck for more than {}s: {doing}", self.name, SLOW.as_secs())
        });
        ended.into_iter().chain(slow)
    }
}

/// What `look` finds, on a thread of its own, which is left to itself when that takes too long. For what happens once.
pub async fn within<T: Send + 'static>(patience: Duration, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (found, answer) = oneshot::channel();
    let body = move || {
        // Nobody waits any more.
        let _ = found.send(look());
    };
    thread::start("look", body).ok()?;
    timeout(patience, answer).await.ok()?.ok()
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
