//! Keeps the rules in place: put at the start, put again when somebody removed them (`nft flush ruleset`), and compared
//! once in a while whatever was heard.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{interval, sleep, sleep_until};

use super::PacketFilter;
use crate::nft::{Error, Event, Nfnetlink};
use crate::readiness::Readiness;

/// What the names of our tables begin with, and the name of two of them.
pub(super) const TABLE: &str = "podlan";

/// How long to wait after being disturbed twice in a row: somebody may be at war with us.
const PEACE: Duration = Duration::from_secs(1);

/// How soon after a change of others' rules they are looked at, and how long nobody looks again: whoever rewrites
/// thousands of them (kube-proxy) must not keep us reading.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const NEXT_LOOK: Duration = Duration::from_secs(3);

/// The rules as the agent and their keeper both have them: one tells of the nodes, the other of disturbances.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<PacketFilter>>);

impl Shared {
    pub(crate) fn new(filter: PacketFilter) -> Self {
        Self(Arc::new(Mutex::new(filter)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PacketFilter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the rules for ever.
pub(crate) async fn keep(every: Duration, filter: Shared) {
    loop {
        let Err(error) = hold(every, &filter).await;
        tracing::warn!(%error, "no word of changes to the packet filter");
        sleep(every).await;
    }
}

async fn hold(every: Duration, filter: &Shared) -> Result<std::convert::Infallible, Error> {
    let mut events = Nfnetlink::events()?;
    let news = Readiness::of(events.as_fd()).map_err(Error::Open)?;
    let mut slow = interval(every);
    let mut disturbed: Option<Instant> = None;
    let (mut looked, mut look_due): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        tokio::select! {
            () = at(look_due) => {
                (looked, look_due) = (Some(Instant::now()), None);
                filter.lock().look_at_others();
                continue;
            }
            ready = news.wait() => {
                ready.map_err(Error::Open)?;
                let we = filter.lock().port();
                let others = Cell::new(false);
                let is_disturbance = |event: &Event<'_>| {
                    let is_ours = event.table.is_none_or(|table| table.starts_with(TABLE));
                    others.set(others.get() || !is_ours);
                    Some(event.port) != we && event.table.is_some() && is_ours
                };
                let is_disturbed = events.news(is_disturbance)?;
                if (others.get() || is_disturbed) && look_due.is_none() {
                    let soon = Instant::now() + FIRST_LOOK;
                    look_due = Some(looked.map_or(soon, |last| soon.max(last + NEXT_LOOK)));
                }
                if !is_disturbed {
                    continue;
                }
                tracing::info!("our rules were disturbed; making them right again");
                if disturbed.is_some_and(|last| last.elapsed() < PEACE) {
                    sleep(PEACE).await;
                }
                disturbed = Some(Instant::now());
            }
            _ = slow.tick() => filter.lock().look_at_others(),
        }
        filter.lock().put();
    }
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
