//! What is wrong with this node, as the agent finds by itself: it gathers the facts and has them judged by the checks of
//! `podlan-node doctor`, after events of the kernel, after news of the other parts, and at intervals. A part of the agent.
//!
//! `machine` decides when to look and what to report; this is its shell, which waits, looks and publishes. It changes
//! nothing but what podlan itself made for living pods, links and routes, which it puts back.

mod machine;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netlink::Monitor;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use self::machine::{Event, Looked, Machine};
use agent_core::Found;
use conditions::Fix;
use facts::decisions::observe::Peers;
use facts::observe::{Places, observe_with};
use facts::parts::Known;
use facts::{AgentSaid, Facts};
use inspect::doctor::finding::Outcome;
use inspect::doctor::fix::pod_links;
use inspect::doctor::{checks, fix};
use parts::{Activity, Output, Readiness, at};
use state::{Clocks, ConfiguredPaths, RunDir, State, VerdictLine};

/// What the agent is given for it.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) run_dir: RunDir,
    /// The paths of the command line.
    pub(super) paths: ConfiguredPaths,
    /// What the agent publishes of itself.
    pub(super) state: watch::Receiver<State>,
    /// The verdicts that were published last.
    pub(super) verdicts: watch::Receiver<Arc<Vec<VerdictLine>>>,
    pub(super) output: Output<Found>,
}

/// Looks for ever.
pub(super) async fn keep(options: Options, activity: Activity) -> String {
    let Options { run_dir, paths, mut state, mut verdicts, output } = options;
    let mut machine = Machine::new(output.latest(Clone::clone), Instant::now());
    let (mut events, mut looks, mut news, mut known) = (listen(), 0, News::default(), Known::default());
    loop {
        let event = tokio::select! {
            biased;
            () = at(Some(machine.due())) => Event::Tick,
            changed = verdicts.changed() => match changed {
                Ok(()) => Event::Woken,
                Err(_closed) => return "nobody asks what is wrong any more".to_owned(),
            },
            changed = state.changed() => match changed {
                Ok(()) => {
                    let now = News::of(&state.borrow_and_update());
                    if now == news {
                        continue;
                    }
                    news = now;
                    Event::Woken
                }
                Err(_closed) => return "nobody says how the agent stands any more".to_owned(),
            },
            heard = next_event(events.as_mut()) => match heard {
                Ok(()) => Event::Woken,
                // Until the next look finds whatever they would have reported.
                Err(error) => {
                    tracing::debug!(%error, "what is wrong is noticed late: the kernel's events cannot be read");
                    events = None;
                    Event::Woken
                }
            },
        };
        if !machine.on(event, Instant::now()) {
            continue;
        }
        if events.is_none() {
            // Opened before anything is looked at, so that no change falls between.
            events = listen();
        }
        let begun = activity.begin("look for what is wrong");
        let state = state.borrow().clone();
        let said = AgentSaid {
            stale: false,
            starting: state.is_starting(Clocks::now()),
            gone: false,
            state,
            verdicts: verdicts.borrow().clone(),
        };
        let before = spent();
        let ConfiguredPaths { cni_bin_dir, cni_conf_dir, data_dir } = paths.clone();
        let places = Places::new(run_dir.clone(), cni_conf_dir, cni_bin_dir, data_dir);
        let facts = observe_with(&places, Ok(Some(said)), Peers::InTurn(looks), &mut known);
        looks = looks.wrapping_add(1);
        let outcomes = checks::judge(&facts);
        put_back(&facts, &outcomes);
        let cost = spent().saturating_sub(before);
        drop(begun);
        machine.on(Event::Looked(Looked { outcomes, cost }), Instant::now());
        output.set(machine.found());
    }
}

/// What other parts found, of which the checks say more: a packet filter that drops, paths that are lost. How many paths is no
/// news: of a large cluster that changes with each answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    forward_drops: usize,
    /// Families and words that some path has.
    paths: BTreeSet<(String, String)>,
}

impl News {
    fn of(state: &State) -> Self {
        let counts = state.paths.iter().flat_map(|paths| &paths.counts);
        let words = counts.flat_map(|(family, words)| words.iter().map(move |word| (family, word)));
        let paths =
            words.filter(|(_, (_, count))| **count > 0).map(|(family, (word, _))| (family.clone(), word.clone()));
        Self { forward_drops: state.forward_drops, paths: paths.collect() }
    }
}

/// Puts back what the plugin made for living pods; the next look finds it there.
fn put_back(facts: &Facts, outcomes: &[(&'static str, Outcome)]) {
    if !fix::due(outcomes.iter().map(|(_, outcome)| outcome)).contains(&Fix::PodLinks) {
        return;
    }
    match pod_links::put_back(facts) {
        Ok(done) => done.iter().for_each(|done| tracing::info!(done, "what a living pod lacked was put back")),
        Err(error) => tracing::warn!(error, "what a living pod lacks could not be put back"),
    }
}

/// The processor time of this thread.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A socket for the kernel's events.
struct Listener(Monitor, Readiness);

/// Links, addresses, routes, rules and nexthops; and forwarding.
struct Events([Listener; 2]);

/// How many datagrams of events are read at once.
const MOST: usize = 512;

impl Listener {
    fn open(monitor: Result<Monitor, netlink::Error>) -> io::Result<Self> {
        let monitor = monitor.map_err(io::Error::other)?;
        let readiness = Readiness::of(monitor.as_fd())?;
        Ok(Self(monitor, readiness))
    }

    /// Reads what waits; that something happened suffices.
    fn drain(&mut self) -> io::Result<()> {
        for _ in 0..MOST {
            if self.0.read().map_err(io::Error::other)?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Nothing where the kernel gives no socket: the intervals remain.
fn listen() -> Option<Events> {
    let opened = Listener::open(Monitor::open());
    let opened = opened.and_then(|all| Ok(Events([all, Listener::open(Monitor::of_forwarding())?])));
    let failed = |error: &io::Error| {
        tracing::debug!(%error, "what is wrong is noticed late: the kernel cannot be listened to");
    };
    opened.inspect_err(failed).ok()
}

async fn next_event(events: Option<&mut Events>) -> io::Result<()> {
    let Some(Events([all, forwarding])) = events else { return std::future::pending().await };
    tokio::select! {
        ready = all.1.wait() => ready?,
        ready = forwarding.1.wait() => ready?,
    }
    all.drain()?;
    forwarding.drain()
}
