//! Keeps forwarding on while pods live: a part of the agent. It hears of each change at once; how it stands goes out.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink::{Event, Family, ForwardingError, Monitor, Procfs, Route, Socket, forwards, link_forwards};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::carry_out::{self, carry_out};
use super::observe::{may_carry, observe};
use super::peace::Peace;
use super::{ForwardingState, Off, judge};
use parts::Readiness;
use parts::{Activity, Output};

/// How soon what could not be switched on is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How soon the kernel is asked again after it could not be.
const REOPEN: Duration = Duration::from_millis(500);

/// What the agent is given for it.
#[derive(Clone)]
pub struct Options {
    /// How often it is looked at, whatever events say.
    pub every: Duration,
    /// Whether it is switched on again, or only looked at.
    pub keeps: bool,
    /// How forwarding stands.
    pub output: Output<Forwarding>,
}

/// How forwarding stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// IPv4 and IPv6: whether pods need it and it is off.
    pub off: [bool; 2],
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// How often it was switched on again.
    pub heals: u64,
}

struct Keeper {
    socket: Socket,
    procfs: Procfs,
    keeps: bool,
    families: [OneFamily; 2],
    heals: u64,
    /// When to look again without being asked to.
    due: Option<Instant>,
}

/// Forwarding of one family.
struct OneFamily {
    family: Family,
    peace: Peace,
    /// Links known to carry packets of pods.
    carriers: BTreeSet<u32>,
    is_off: bool,
    warning: Option<String>,
}

/// Keeps it on for ever. While the kernel cannot be asked, or its events cannot be had, it says so and tries again.
pub async fn keep(options: Options, activity: Activity) -> String {
    let Options { every, keeps, output } = options;
    let mut reported = String::new();
    loop {
        let Err(why) = hold(every, keeps, &output, &activity).await;
        if reported != why {
            tracing::warn!(why, "forwarding cannot be checked; trying again");
        }
        let warning = format!("cannot check whether pods' packets are forwarded: failed to {why}");
        output.set(Forwarding { warnings: vec![warning], ..output.latest(Clone::clone) });
        reported = why;
        sleep(REOPEN).await;
    }
}

async fn hold(
    every: Duration,
    keeps: bool,
    output: &Output<Forwarding>,
    activity: &Activity,
) -> Result<std::convert::Infallible, String> {
    let failed = |doing: &str, error: &dyn std::fmt::Display| format!("{doing}: {error}");
    // Opened before anything is looked at, so that no change falls between.
    let mut monitor = Monitor::of_forwarding().map_err(|error| failed("listen to the kernel", &error))?;
    let events = Readiness::of(monitor.as_fd()).map_err(|error| failed("listen to the kernel", &error))?;
    let socket = Socket::open().map_err(|error| failed("ask the kernel", &error))?;
    let mut keeper = Keeper {
        socket,
        procfs: Procfs::of_machine(),
        keeps,
        families: Family::BOTH.map(OneFamily::new),
        heals: output.latest(|forwarding| forwarding.heals),
        due: None,
    };
    let mut slow = interval(every);
    slow.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_due = tokio::select! {
            ready = events.wait() => {
                ready.map_err(|error| failed("listen to the kernel", &error))?;
                keeper.hear(&mut monitor).map_err(|error| failed("ask the kernel", &error))?
            }
            () = at(keeper.due) => true,
            // Its first tick comes at once.
            _ = slow.tick() => true,
        };
        if is_due {
            let _begun = activity.begin("forwarding");
            keeper.due = None;
            keeper.look().map_err(|error| failed("ask the kernel", &error))?;
            output.set(keeper.forwarding());
        }
    }
}

impl Keeper {
    /// Reads the events that wait; true when one may mean that pods' packets are not forwarded, or are again.
    fn hear(&mut self, monitor: &mut Monitor) -> Result<bool, netlink::Error> {
        let mut matters = false;
        while let Some(events) = monitor.read()? {
            for event in &events {
                matters |= self.concerns(event)?;
            }
        }
        Ok(matters)
    }

    fn concerns(&mut self, event: &Event) -> Result<bool, netlink::Error> {
        let message = match event {
            Event::Overflow => return Ok(true),
            Event::Switched(switched) => {
                let known = &self.families[switched.family.index()];
                let is_v4 = switched.family == Family::V4;
                let counts = switched.link.is_none_or(|link| is_v4 && known.carriers.contains(&link));
                return Ok(counts && switched.on == known.is_off);
            }
            Event::Rules | Event::Nexthops => return Ok(false),
            Event::Changed(message) => message,
        };
        let Some(route) = Route::from_message(message) else { return Ok(false) };
        let Some(link) = route.device.filter(|_| may_carry(&route)) else { return Ok(false) };
        let family = Family::of(route.destination.ip());
        // A link that is new here: pods come by the thousand, and mostly all is well.
        let is_new = self.families[family.index()].carriers.insert(link);
        let forwards = |socket: &mut Socket| match family {
            Family::V4 => link_forwards(socket, family, link),
            Family::V6 => forwards(socket, family),
        };
        Ok(is_new && forwards(&mut self.socket)? == Some(false))
    }

    fn look(&mut self) -> Result<(), ForwardingError> {
        for known in &mut self.families {
            // After a change the kernel says what came of it; one look more is enough.
            for _ in 0..2 {
                let (seen, carriers) = observe(&mut self.socket, &self.procfs, known.family)?;
                known.carriers = carriers;
                let state = judge(known.family, seen);
                let now = Instant::now();
                let (due, changed) = known.stand(state, now, self.keeps, &mut self.socket, &self.procfs);
                self.due = [self.due, due].into_iter().flatten().min();
                if !changed {
                    break;
                }
                self.heals += 1;
            }
        }
        Ok(())
    }

    fn forwarding(&self) -> Forwarding {
        let off = self.families.each_ref().map(|family| family.is_off);
        let warnings = self.families.iter().filter_map(|family| family.warning.clone()).collect();
        Forwarding { off, warnings, heals: self.heals }
    }
}

impl OneFamily {
    fn new(family: Family) -> Self {
        Self { family, peace: Peace::default(), carriers: BTreeSet::new(), is_off: false, warning: None }
    }

    /// Takes in how the family stands, and switches it on where that is due. When to look again, and whether anything was
    /// changed.
    fn stand(
        &mut self,
        state: ForwardingState,
        now: Instant,
        keeps: bool,
        socket: &mut Socket,
        procfs: &Procfs,
    ) -> (Option<Instant>, bool) {
        let ForwardingState::Off(off) = state else {
            self.is_off = false;
            self.say(self.peace.many(now).map(|times| self.at_war(times)));
            return (None, false);
        };
        self.is_off = true;
        let due = self.peace.due(now);
        let (warning, due, changed) = match off.change() {
            _ if !keeps => (left(&off), None, false),
            Err(loss) => {
                let learned = format!("{off}, and with it on the node would lose {} of {}", loss.learned, loss.link);
                (format!("{learned}: {}", off.cure()), Some(now + RETRY), false)
            }
            Ok(_) if due > now => {
                (format!("{off}: {}", self.at_war(self.peace.many(now).unwrap_or(2))), Some(due), false)
            }
            Ok(change) => match carry_out(socket, procfs, &change) {
                Ok(()) => {
                    self.peace.put_back(now);
                    tracing::warn!("{off}: somebody switched it off; it is on again");
                    return (None, true);
                }
                Err(error) => (refused(&off, &error), Some(now + RETRY), false),
            },
        };
        self.say(Some(warning));
        (due, changed)
    }

    /// Logs what is new.
    fn say(&mut self, warning: Option<String>) {
        if self.warning != warning
            && let Some(warning) = &warning
        {
            tracing::warn!("{warning}");
        }
        self.warning = warning;
    }

    fn at_war(&self, times: u32) -> String {
        let family = self.family;
        let name = match family {
            Family::V4 => "net.ipv4.ip_forward",
            Family::V6 => "net.ipv6.conf.all.forwarding",
        };
        format!(
            "another program switches {family} forwarding off again and again ({times} times lately), and it is switched on \
             more and more slowly: find it, grep -rs {name} /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d"
        )
    }
}

fn left(off: &Off) -> String {
    format!("{off}, and pods are cut off; --no-keep-forwarding leaves it so: {}", off.cure())
}

fn refused(off: &Off, error: &carry_out::Error) -> String {
    let why = match off {
        Off::V6(_) => "; the next ADD of a pod with IPv6 switches it on, or on the node",
        Off::NodeV4(_) | Off::LinksV4(_) => "; on the node",
    };
    format!("{off}, and pods are cut off: failed to {error}{why}: {}", off.cure())
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
