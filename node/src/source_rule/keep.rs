//! Keeps the rules in place: put at the start, put again when somebody removed them (`nft flush ruleset`), and once in a
//! while whatever was heard.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::{Error, SourceRule};
use crate::readiness::Readiness;

/// How long to wait after being disturbed twice in a row: somebody may be at war with us.
const PEACE: Duration = Duration::from_secs(1);

/// How the rules stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known yet.
    Unknown,
    InPlace,
    /// They could not be put in place, and why.
    Missing(String),
}

/// Keeps the rules until nobody asks how they stand.
pub(crate) async fn keep(every: Duration, standing: watch::Sender<Standing>) {
    loop {
        let failed = match hold(every, &standing).await {
            Ok(()) => return,
            Err(error) => error.to_string(),
        };
        tracing::warn!(error = failed, "the source rule is not in place");
        standing.send_replace(Standing::Missing(failed));
        tokio::select! {
            () = standing.closed() => return,
            () = sleep(every) => {}
        }
    }
}

async fn hold(every: Duration, standing: &watch::Sender<Standing>) -> Result<(), Error> {
    let mut rule = SourceRule::open()?;
    let events = Readiness::of(rule.as_fd()).map_err(Error::Open)?;
    let mut slow = interval(every);
    let mut disturbed: Option<Instant> = None;
    loop {
        tokio::select! {
            () = standing.closed() => return Ok(()),
            ready = events.wait() => {
                ready.map_err(Error::Open)?;
                if !rule.disturbed()? {
                    continue;
                }
                tracing::info!("the source rule was disturbed; putting it in place again");
                if disturbed.is_some_and(|last| last.elapsed() < PEACE) {
                    sleep(PEACE).await;
                }
                disturbed = Some(Instant::now());
            }
            _ = slow.tick() => {}
        }
        rule.put()?;
        standing.send_if_modified(|standing| std::mem::replace(standing, Standing::InPlace) != Standing::InPlace);
    }
}
