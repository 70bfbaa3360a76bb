//! Keeps the rules in place: put at the start, put again when somebody removed them (`nft flush ruleset`), and compared
//! once in a while whatever was heard.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{interval, sleep, sleep_until};

use super::PacketFilter;
use crate::nft::{Error, Event, Nfnetlink};
use crate::readiness::Readiness;

/// What the names of our tables begin with, and the name of two of them.
pub(super) const TABLE: &str = "podlan";

/// How long to wait before the rules are compared for the second time in a row: another program may keep rewriting them.
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
    let mut compared: Option<Instant> = None;
    let (mut looked, mut look_due): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        tokio::select! {
            () = at(look_due) => {
                (looked, look_due) = (Some(Instant::now()), None);
                filter.lock().look_at_others();
            }
            ready = news.wait() => {
                ready.map_err(Error::Open)?;
                let heard = hear(&mut events, filter.lock().port())?;
                if heard.others && look_due.is_none() {
                    let soon = Instant::now() + FIRST_LOOK;
                    look_due = Some(looked.map_or(soon, |last| soon.max(last + NEXT_LOOK)));
                }
                if heard.ours {
                    if compared.is_some_and(|last| last.elapsed() < PEACE) {
                        sleep(PEACE).await;
                    }
                    compared = Some(Instant::now());
                    if filter.lock().put() {
                        tracing::info!("somebody changed our rules; they are right again");
                    }
                }
            }
            _ = slow.tick() => {
                let mut filter = filter.lock();
                filter.look_at_others();
                filter.put();
            }
        }
    }
}

/// What may have been changed, and not by us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heard {
    /// Our tables.
    ours: bool,
    /// Anything: rules of others may drop what pods send.
    others: bool,
}

impl Heard {
    fn take(&mut self, event: &Event<'_>, we: Option<u32>) {
        // The end of a transaction names no table.
        let Some(table) = event.table else { return };
        let is_ours = table.starts_with(TABLE);
        self.others |= !is_ours || Some(event.port) != we;
        self.ours |= is_ours && Some(event.port) != we;
    }
}

/// Reads the events that wait. Where the kernel dropped some, which our own change of a large set makes it do, everything
/// has to be compared; that is no sign that anybody changed anything.
fn hear(events: &mut Nfnetlink, we: Option<u32>) -> Result<Heard, Error> {
    let mut heard = Heard::default();
    let lost = events.news(|event| heard.take(event, we))?;
    Ok(if lost { Heard { ours: true, others: true } } else { heard })
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_our_tables_by_another_has_them_compared() {
        const WE: u32 = 7;
        for (port, table, expected) in [
            (WE, Some("podlan"), (false, false)),
            (WE, Some("podlan-masquerade"), (false, false)),
            (9, Some("podlan-masquerade"), (true, true)),
            (9, Some("filter"), (false, true)),
            // `--accept-forward` puts rules of ours into tables of others.
            (WE, Some("filter"), (false, true)),
            (9, None, (false, false)),
        ] {
            let mut heard = Heard::default();
            heard.take(&Event { port, table }, Some(WE));
            assert_eq!((heard.ours, heard.others), expected, "{port} {table:?}");
        }
    }
}
