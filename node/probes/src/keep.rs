//! Keeps the probe endpoint, and probes. A part of the agent.
//!
//! [`crate::machine`] decides what is sent and what it means; this is its shell, which waits, asks the kernel, sends and
//! receives.

use std::fs;
use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netlink::{Family, Link, Monitor, PROBE_LINK, PROBE_ROUTE, Route, Socket};
use parts::{Activity, Output, Readiness};
use state::paths::Paths;
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::endpoint::kernel;
use crate::examine;
use crate::machine::{Action, Counts, Endpoint, Event, Machine, Now, OwnAddress, Place, Wanted};
use crate::sockets::{Read, Sockets};
use crate::wire::Standing;

/// How often the endpoint is compared, whatever events say.
const EVERY: Duration = Duration::from_secs(5);

/// What the agent is given for its probes.
#[derive(Clone)]
pub struct Options {
    /// Whether to probe; otherwise what an earlier agent left is removed.
    pub on: bool,
    /// The UDP port, the same on every node.
    pub port: u16,
    /// Requests in a second, at most.
    pub rate: u32,
    /// The peers.
    pub wanted: watch::Receiver<Option<Wanted>>,
    /// Takes the round trips of open paths.
    pub sample: Arc<dyn Fn(Duration) + Send + Sync>,
    /// What was found.
    pub output: Output<Probed>,
}

/// What was found, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// The paths; `None` before anything is known.
    pub paths: Option<Paths>,
    /// What was sent and received.
    pub counts: Counts,
    /// What is wrong with the probes themselves.
    pub warnings: Vec<String>,
}

/// Probes for ever; ends when the loop no longer says who the peers are.
pub async fn keep(options: Options, activity: Activity) -> String {
    let Options { on, port, rate, mut wanted, sample, output } = options;
    if !on {
        return off(port, &output, &activity).await;
    }
    let mut shell = match Shell::new(port, rate, sample, output) {
        Ok(shell) => shell,
        Err(error) => return format!("open sockets: {error}"),
    };
    let readable = match Readiness::of(shell.sockets.epoll().0.as_fd()) {
        Ok(readable) => readable,
        Err(error) => return format!("watch sockets: {error}"),
    };
    let mut monitor = Monitor::open().ok();
    let events = monitor.as_ref().and_then(|monitor| Readiness::of(monitor.as_fd()).ok());
    wanted.mark_changed();
    loop {
        let due = shell.machine.due().min(shell.look_at);
        tokio::select! {
            biased;
            changed = wanted.changed() => match changed {
                Ok(()) => {
                    let now = wanted.borrow_and_update().clone();
                    if let Some(now) = now {
                        let _begun = activity.begin("the peers' paths");
                        shell.want(now);
                    }
                }
                Err(_closed) => return "nobody wants probes any more".to_owned(),
            },
            ready = readable.wait() => {
                if let Err(error) = ready {
                    return format!("wait for sockets: {error}");
                }
                shell.read();
            }
            () = changed(events.as_ref()) => {
                if monitor.as_mut().is_some_and(concerns_us) {
                    shell.look_at = Instant::now();
                }
            }
            () = sleep_until(due.into()) => {}
        }
        // What was received comes before the time.
        shell.read();
        if shell.look_at <= Instant::now() {
            let _begun = activity.begin("the probe endpoint");
            shell.look();
        }
        shell.deliver(Event::Tick);
    }
}

/// Removes what is left of the probes, and says that there are none.
async fn off(port: u16, output: &Output<Probed>, activity: &Activity) -> String {
    let warnings = {
        let _begun = activity.begin("the removal of the probe endpoint");
        kernel::remove().err().map(|error| format!("the probe endpoint cannot be removed: {error}"))
    };
    let paths = Some(Paths { probed: false, port, ..Paths::default() });
    output.set(Probed { paths, counts: Counts::default(), warnings: warnings.into_iter().collect() });
    std::future::pending().await
}

async fn changed(events: Option<&Readiness>) {
    match events {
        // An error shows as no events; the endpoint is compared at intervals too.
        Some(events) if events.wait().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Reads all events; whether one may concern the endpoint.
fn concerns_us(monitor: &mut Monitor) -> bool {
    let mut concerns = false;
    while let Ok(Some(events)) = monitor.read() {
        concerns |= events.iter().any(|event| match event {
            netlink::Event::Changed(object) => {
                Route::from_message(object).is_some_and(|route| route.protocol == PROBE_ROUTE)
                    || Link::from_message(object).is_some_and(|link| link.name == PROBE_LINK)
            }
            netlink::Event::Rules | netlink::Event::Overflow => true,
            netlink::Event::Switched(_) | netlink::Event::Nexthops => false,
        });
    }
    concerns
}

/// The machine, and what it is connected to.
struct Shell {
    machine: Machine,
    sockets: Sockets,
    /// None before the first look, and after the socket failed.
    netlink: Option<Socket>,
    wanted: Option<Wanted>,
    endpoints: [Endpoint; 2],
    look_at: Instant,
    port: u16,
    sample: Arc<dyn Fn(Duration) + Send + Sync>,
    output: Output<Probed>,
    warnings: Vec<String>,
    /// Where no port could be had for this round.
    no_ports: Vec<String>,
}

impl Shell {
    fn new(
        port: u16,
        rate: u32,
        sample: Arc<dyn Fn(Duration) + Send + Sync>,
        output: Output<Probed>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            machine: Machine::new(rate, RandomState::new(), now()),
            sockets: Sockets::new()?,
            netlink: None,
            wanted: None,
            endpoints: Default::default(),
            look_at: Instant::now(),
            port,
            sample,
            output,
            warnings: Vec::new(),
            no_ports: Vec::new(),
        })
    }

    fn want(&mut self, wanted: Wanted) {
        self.look_at = Instant::now();
        self.wanted = Some(wanted.clone());
        self.deliver(Event::Wanted(wanted));
        self.deliver(Event::Neighbours(Family::BOTH.map(neighbours)));
    }

    /// Puts the endpoint in place, and opens what answers.
    fn look(&mut self) {
        self.look_at = Instant::now() + EVERY;
        let Some(wanted) = &self.wanted else { return };
        let looked = self.netlink.take().map_or_else(Socket::open, Ok).map_err(kernel::Error::from);
        let looked = looked.and_then(|mut socket| {
            let endpoints = look(&mut socket, wanted)?;
            self.netlink = Some(socket);
            Ok(endpoints)
        });
        let mut warnings = Vec::new();
        let endpoints = looked.unwrap_or_else(|error| {
            warnings.push(format!("the probe endpoint is not in place: {error}"));
            [(); 2].map(|()| Endpoint::Not(Standing::Failed, format!("the probe endpoint is not in place: {error}")))
        });
        let nodes = wanted.node.into_iter().flatten().map(|address| (Place::Node, address));
        let places: Vec<_> = nodes.chain(ready(&endpoints)).collect();
        warnings.extend(self.sockets.answer_at(&places, self.port));
        if self.warnings != warnings {
            for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
                tracing::warn!(warning, "path probes");
            }
            self.warnings = warnings;
            self.publish();
        }
        self.endpoints = endpoints.clone();
        self.deliver(Event::Endpoints(endpoints));
    }

    fn read(&mut self) {
        let mut actions = Vec::new();
        let (machine, now) = (&mut self.machine, now());
        self.sockets.read(|read| {
            let event = match read {
                Read::Datagram { place, from, bytes } => Event::Received { place, from, bytes },
                Read::Refused { place, to, nonce, refusal } => Event::Refused { place, to, nonce, refusal },
            };
            actions.extend(machine.on(event, now));
        });
        self.carry_out(actions);
    }

    fn deliver(&mut self, event: Event<'_>) {
        let actions = self.machine.on(event, now());
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Request(outgoing) => {
                    if let Err(refusal) = self.sockets.ask(&outgoing, self.port) {
                        let to = outgoing.to.ip();
                        self.deliver(Event::Refused { place: outgoing.place, to, nonce: None, refusal });
                    }
                }
                Action::Answer(outgoing) => self.sockets.answer(&outgoing),
                Action::TestSelf { from, to, bytes } => {
                    if self.sockets.send_as(from, SocketAddr::new(to, self.port), &bytes).is_err() {
                        self.deliver(Event::NotTested(Family::of(to)));
                    }
                }
                Action::Examine => {
                    let begun = Instant::now();
                    let found = self.examine();
                    self.deliver(Event::Examined(found, begun.elapsed()));
                }
                Action::NewPorts => {
                    let nodes = self.wanted.iter().flat_map(|wanted| wanted.node).flatten();
                    let places: Vec<_> =
                        nodes.map(|address| (Place::Node, address)).chain(ready(&self.endpoints)).collect();
                    let failed = self.sockets.ask_from(&places, Instant::now());
                    if self.no_ports != failed {
                        self.no_ports = failed;
                        self.publish();
                    }
                }
                Action::Sample(rtt) => (self.sample)(rtt),
                Action::Publish => self.publish(),
            }
        }
    }

    /// Which rules drop probes and not packets of pods. What cannot be read is not known to.
    fn examine(&mut self) -> [Option<String>; 2] {
        let (Some(socket), Some(wanted)) = (&mut self.netlink, &self.wanted) else { return [None, None] };
        let own = self.endpoints.each_ref().map(|endpoint| match endpoint {
            Endpoint::Ready(address) => Some(*address),
            Endpoint::Unknown | Endpoint::Not(..) => None,
        });
        examine::look(socket, own, &wanted.peers, self.port).unwrap_or_else(|error| {
            tracing::debug!(%error, "whether a rule drops probes alone is unknown");
            [None, None]
        })
    }

    fn publish(&self) {
        self.output.set(Probed {
            paths: self.wanted.is_some().then(|| self.machine.report(self.port)),
            counts: self.machine.counts,
            warnings: self.warnings.iter().chain(&self.no_ports).cloned().collect(),
        });
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Now { at: Instant::now(), unix }
}

fn ready(endpoints: &[Endpoint; 2]) -> impl Iterator<Item = (Place, IpAddr)> {
    endpoints.iter().filter_map(|endpoint| match endpoint {
        Endpoint::Ready(address) => Some((Place::Probe, *address)),
        Endpoint::Unknown | Endpoint::Not(..) => None,
    })
}

/// The endpoint of each family, put in place where it can be.
fn look(socket: &mut Socket, wanted: &Wanted) -> Result<[Endpoint; 2], kernel::Error> {
    let mut endpoints = <[Endpoint; 2]>::default();
    let mut wants = Vec::new();
    for family in Family::BOTH {
        endpoints[family.index()] = match wanted.own[family.index()] {
            OwnAddress::NoPods => Endpoint::Not(Standing::NoRoom, format!("this node has no {family} pod CIDR")),
            OwnAddress::NoRoom => {
                Endpoint::Not(Standing::NoRoom, format!("the {family} pod CIDR has no address to spare for probes"))
            }
            OwnAddress::At(address) => match kernel::holder(socket, address)? {
                Some(kernel::Holder(who)) => {
                    Endpoint::Not(Standing::Held, format!("the probe address {address} is in use: {who}"))
                }
                None => {
                    wants.push(address);
                    match netlink::forwards(socket, family)? {
                        Some(false) if !kernel::has_pods(socket, family)? => Endpoint::Not(
                            Standing::Idle,
                            format!("this node has no {family} pods, and does not forward {family}"),
                        ),
                        None => Endpoint::Not(Standing::Idle, format!("the kernel has no {family}")),
                        Some(_) => Endpoint::Ready(address),
                    }
                }
            },
        };
    }
    if wants.is_empty() {
        kernel::remove()?;
    } else {
        kernel::ensure(socket, &wants)?;
    }
    Ok(endpoints)
}

/// How many entries the neighbour table of a family takes, where that is shown.
fn neighbours(family: Family) -> Option<u32> {
    let name = if family == Family::V4 { "ipv4" } else { "ipv6" };
    fs::read_to_string(format!("/proc/sys/net/{name}/neigh/default/gc_thresh3")).ok()?.trim().parse().ok()
}
