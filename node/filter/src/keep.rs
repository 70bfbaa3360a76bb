//! Keeps the rules in place: put at the start, put again when somebody removed them (`nft flush ruleset`), and compared
//! once in a while whatever was heard. A part of the agent: what should be comes in, how it stands goes out.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nftables::{Error, Event, Nfnetlink};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};

use super::{Drops, Egress, Forwarded, PacketFilter, RuleStates, Sides};
use parts::Readiness;
use parts::{Activity, Output};

/// What the names of our tables begin with, and the name of two of them.
pub(super) const TABLE: &str = "podlan";

/// How long to wait before the rules are compared for the second time in a row: another program may keep rewriting them.
const PEACE: Duration = Duration::from_secs(1);

/// How soon rules are tried again that the kernel refused, and that nothing else asks for.
const RETRY: Duration = Duration::from_secs(5);

/// How soon events that could not be had are asked for again.
const REOPEN: Duration = Duration::from_secs(1);

/// How soon after a change of others' rules they are looked at, and how long nobody looks again: whoever rewrites
/// thousands of them (kube-proxy) must not keep us reading.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const NEXT_LOOK: Duration = Duration::from_secs(3);

/// What the agent is given for its rules.
#[derive(Clone)]
pub struct Options {
    /// How often all rules are compared, whatever events say.
    pub every: Duration,
    /// How often what the source rule dropped is read.
    pub count_every: Duration,
    /// Until the nodes are known.
    pub egress: Egress,
    /// Whether others' policies are answered.
    pub accepts: bool,
    /// What should be.
    pub wanted: watch::Receiver<Wanted>,
    /// How the rules stand.
    pub output: Output<Filtered>,
}

/// What should be, as the loop knows it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Counts the changes of `sides`.
    pub version: u64,
    /// None before the nodes are known, or where egress is not masqueraded.
    pub sides: Option<Sides>,
    /// None before the nodes are known.
    pub forwarded: Option<Forwarded>,
}

/// How the rules stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Each rule.
    pub states: RuleStates,
    /// What the source rule has dropped; `None` where it cannot be asked.
    pub drops: Option<Drops>,
    /// The sides of this version, or of a later one, are in force, as far as the kernel obeys.
    pub version: u64,
}

/// The kernel's events of the packet filter, and word that there are some.
struct Events {
    socket: Nfnetlink,
    readiness: Readiness,
}

/// When something is due that no event asks for.
#[derive(Default)]
struct Due {
    looked: Option<Instant>,
    look: Option<Instant>,
    compared: Option<Instant>,
    put: Option<Instant>,
    retry: Option<Instant>,
    reopen: Option<Instant>,
}

struct Keeper {
    filter: PacketFilter,
    wanted: watch::Receiver<Wanted>,
    events: Option<Events>,
    /// Events were lost, or could not be had.
    is_deaf: bool,
    due: Due,
}

/// What is to be done next.
enum Step {
    Wanted(Result<(), watch::error::RecvError>),
    Events(io::Result<()>),
    Reopen,
    Look,
    Put,
    Retry,
    Slow,
    Beat,
}

/// Keeps the rules for ever; ends when nobody wants them.
pub async fn keep(options: Options, activity: Activity) -> String {
    let Options { every, count_every, egress, accepts, mut wanted, output } = options;
    wanted.mark_changed();
    let due = Due { reopen: Some(Instant::now()), ..Due::default() };
    let mut keeper = Keeper { filter: PacketFilter::new(egress, accepts), wanted, events: None, is_deaf: false, due };
    // Their first ticks come at once.
    let (mut slow, mut beat) = (interval(every), interval(count_every));
    slow.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut filtered = Filtered::default();
    loop {
        let step = keeper.next(&mut slow, &mut beat).await;
        let _begun = activity.begin("the rules of the packet filter");
        match step {
            Step::Wanted(Ok(())) => filtered.version = keeper.take(),
            Step::Wanted(Err(_closed)) => return "nobody wants rules any more".to_owned(),
            Step::Events(ready) => keeper.hear(ready),
            Step::Reopen => keeper.reopen(),
            Step::Look => keeper.look(),
            Step::Put => keeper.put(),
            Step::Retry => keeper.retry(),
            Step::Slow => {
                keeper.look();
                keeper.filter.put();
                filtered.drops = keeper.filter.drops();
            }
            Step::Beat => filtered.drops = keeper.filter.drops(),
        }
        keeper.due.retry = match keeper.due.retry {
            Some(due) if keeper.filter.is_missing() => Some(due),
            _ => keeper.filter.is_missing().then(|| Instant::now() + RETRY),
        };
        filtered.states = keeper.filter.states().clone();
        output.set(filtered.clone());
    }
}

impl Keeper {
    async fn next(&mut self, slow: &mut Interval, beat: &mut Interval) -> Step {
        tokio::select! {
            biased;
            () = at(self.due.reopen) => Step::Reopen,
            changed = self.wanted.changed() => Step::Wanted(changed),
            () = at(self.due.put) => Step::Put,
            () = at(self.due.retry) => Step::Retry,
            () = at(self.due.look) => Step::Look,
            ready = heard(self.events.as_ref()) => Step::Events(ready),
            _ = slow.tick() => Step::Slow,
            _ = beat.tick() => Step::Beat,
        }
    }

    /// Takes in what is wanted now; in force when this returns, as far as the kernel obeys.
    fn take(&mut self) -> u64 {
        let Wanted { version, sides, forwarded } = self.wanted.borrow_and_update().clone();
        if let Some(sides) = sides {
            self.filter.set_sides(sides);
        }
        if let Some(forwarded) = forwarded {
            self.filter.set_forwarded(forwarded);
        }
        version
    }

    fn reopen(&mut self) {
        self.due.reopen = None;
        let opened = Nfnetlink::events().and_then(|socket| {
            let readiness = Readiness::of(socket.as_fd()).map_err(Error::Open)?;
            Ok(Events { socket, readiness })
        });
        match opened {
            Ok(events) => {
                self.events = Some(events);
                if std::mem::take(&mut self.is_deaf) {
                    self.due.put = Some(Instant::now());
                }
            }
            Err(error) => self.deaf(&error),
        }
    }

    fn deaf(&mut self, error: &Error) {
        tracing::debug!(%error, "changes of the packet filter are not received");
        (self.events, self.is_deaf) = (None, true);
        self.due.reopen = Some(Instant::now() + REOPEN);
    }

    fn hear(&mut self, ready: io::Result<()>) {
        let we = self.filter.port();
        let Some(events) = &mut self.events else { return };
        let heard = match ready.map_err(Error::Open).and_then(|()| hear(&mut events.socket, we)) {
            Ok(heard) => heard,
            Err(error) => return self.deaf(&error),
        };
        let now = Instant::now();
        if heard.others && self.due.look.is_none() {
            let soon = now + FIRST_LOOK;
            self.due.look = Some(self.due.looked.map_or(soon, |last| soon.max(last + NEXT_LOOK)));
        }
        if heard.ours && self.due.put.is_none() {
            let again = self.due.compared.is_some_and(|last| last.elapsed() < PEACE);
            let due = if again { now + PEACE } else { now };
            (self.due.put, self.due.compared) = (Some(due), Some(due));
        }
    }

    fn look(&mut self) {
        (self.due.looked, self.due.look) = (Some(Instant::now()), None);
        self.filter.look_at_others();
    }

    fn retry(&mut self) {
        self.due.retry = None;
        self.filter.put();
    }

    fn put(&mut self) {
        self.due.put = None;
        if self.filter.put() {
            tracing::info!("somebody changed our rules; they are right again");
        }
    }
}

async fn heard(events: Option<&Events>) -> io::Result<()> {
    match events {
        Some(events) => events.readiness.wait().await,
        None => std::future::pending().await,
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
    let lost = events.read_events(|event| heard.take(event, we))?;
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
