//! Keeps forwarding on while pods live: a part of the agent. The kernel's events report each change at
//! once; it publishes whether pods' packets are forwarded.
//!
//! `machine` decides; this is its shell, which waits, asks the kernel and publishes.

mod family;
mod interface;
mod machine;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink::{Family, Monitor, Procfs, Route, Socket, forwards, link_forwards};

use self::interface::{Action, Event, KernelEvent, Notice};
use self::machine::Machine;
use super::carry_out::carry_out;
use super::observe::{may_carry, observe};
use parts::{Activity, Output, Readiness, at};

/// What the agent is given for it.
#[derive(Clone)]
pub struct Options {
    /// How often it is looked at, whatever events say.
    pub every: Duration,
    /// Whether it is switched on again, or only looked at.
    pub keeps: bool,
    /// Whether pods' packets are forwarded.
    pub output: Output<Forwarding>,
}

/// Whether pods' packets are forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// IPv4 and IPv6: whether pods need it and it is off.
    pub off: [bool; 2],
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// How often it was switched on again.
    pub heals: u64,
}

/// The kernel's events, and a socket for requests.
struct Kernel {
    monitor: Monitor,
    events: Readiness,
    socket: Socket,
    procfs: Procfs,
}

/// Keeps it on for ever. While the kernel cannot be asked, or its events cannot be read, it says so and tries again.
pub async fn keep(options: Options, activity: Activity) -> String {
    let Options { every, keeps, output } = options;
    let mut machine = Machine::new(every, keeps, output.latest(Clone::clone), Instant::now());
    let mut kernel = None;
    loop {
        let event = tokio::select! {
            ready = wait(kernel.as_ref()) => read_events(kernel.as_mut(), ready),
            () = at(machine.due()) => Event::Tick,
        };
        let _begun = activity.begin("forwarding");
        let mut results = VecDeque::from([event]);
        while let Some(event) = results.pop_front() {
            for action in machine.on(event, Instant::now()) {
                match action {
                    Action::Publish(forwarding) => output.set(forwarding),
                    Action::Log(Notice::NotChecked(why)) => {
                        tracing::warn!(why, "forwarding cannot be checked; trying again");
                    }
                    Action::Log(Notice::Warning(warning)) => tracing::warn!("{warning}"),
                    Action::Log(Notice::StaysOff(warning)) => tracing::debug!("{warning}"),
                    other => results.extend(carry_out_action(other, &mut kernel)),
                }
            }
        }
    }
}

/// Carries out what concerns the kernel; returns the result.
fn carry_out_action(action: Action, kernel: &mut Option<Kernel>) -> Option<Event> {
    match (action, kernel.as_mut()) {
        (Action::Open, _) => {
            let opened = Kernel::open().map(|opened| *kernel = Some(opened));
            Some(Event::Opened(opened))
        }
        (Action::Close, _) => {
            *kernel = None;
            None
        }
        (Action::Ask { family, link }, Some(kernel)) => {
            let socket = &mut kernel.socket;
            let on = match family {
                Family::V4 => link_forwards(socket, family, link),
                Family::V6 => forwards(socket, family),
            };
            Some(Event::Forwards(on.map_err(cannot_ask)))
        }
        (Action::Observe { number, family }, Some(kernel)) => {
            let observed = observe(&mut kernel.socket, &kernel.procfs, family);
            Some(Event::Observed(number, observed.map_err(cannot_ask)))
        }
        (Action::Switch { number, change }, Some(kernel)) => {
            let changed = carry_out(&mut kernel.socket, &kernel.procfs, &change);
            Some(Event::Changed(number, changed.map_err(|error| error.to_string())))
        }
        _ => None,
    }
}

fn cannot_ask(error: impl Display) -> String {
    format!("ask the kernel: {error}")
}

fn cannot_listen(error: impl Display) -> String {
    format!("listen to the kernel: {error}")
}

impl Kernel {
    fn open() -> Result<Self, String> {
        // Opened before anything is observed, so that no change falls between.
        let monitor = Monitor::of_forwarding().map_err(cannot_listen)?;
        let events = Readiness::of(monitor.as_fd()).map_err(cannot_listen)?;
        let socket = Socket::open().map_err(cannot_ask)?;
        Ok(Self { monitor, events, socket, procfs: Procfs::of_machine() })
    }

    /// Reads the events that wait.
    fn read(&mut self) -> Result<Vec<KernelEvent>, netlink::Error> {
        let mut decoded = Vec::new();
        while let Some(events) = self.monitor.read()? {
            decoded.extend(events.iter().filter_map(decode));
        }
        Ok(decoded)
    }
}

fn read_events(kernel: Option<&mut Kernel>, ready: io::Result<()>) -> Event {
    match (ready, kernel) {
        (Err(error), _) => Event::Lost(cannot_listen(error)),
        (Ok(()), Some(kernel)) => {
            kernel.read().map_or_else(|error| Event::Lost(cannot_ask(error)), Event::KernelEvents)
        }
        (Ok(()), None) => Event::KernelEvents(Vec::new()),
    }
}

fn decode(event: &netlink::Event) -> Option<KernelEvent> {
    match event {
        netlink::Event::Overflow => Some(KernelEvent::Overflow),
        netlink::Event::Switched(switched) => {
            Some(KernelEvent::Switched { family: switched.family, link: switched.link, on: switched.on })
        }
        netlink::Event::Rules | netlink::Event::Nexthops => None,
        netlink::Event::Changed(message) => {
            let route = Route::from_message(message).filter(may_carry)?;
            Some(KernelEvent::Carrier { family: Family::of(route.destination.ip()), link: route.device? })
        }
    }
}

async fn wait(kernel: Option<&Kernel>) -> io::Result<()> {
    match kernel {
        Some(kernel) => kernel.events.wait().await,
        None => std::future::pending().await,
    }
}
