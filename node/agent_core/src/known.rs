//! What the agent knows beside the routes, from its start on.

use std::time::{Duration, Instant};

use super::kernel_access::KernelAccess;
use super::own_cidrs::OwnCidrs;
use super::part_reports::PartReports;
use super::probe_order::ProbeOrder;
use super::publication::Published;
use super::sides::FilterOrder;
use super::{Given, Now};
use routes::reconcile::Settings;
use state::HEARTBEAT;

pub(super) struct Known {
    pub(super) settings: Settings,
    /// The network of this node's pods.
    pub(super) network: String,
    pub(super) writes_conflist: bool,
    pub(super) resync: Duration,
    pub(super) heartbeat: Instant,
    pub(super) filter: FilterOrder,
    pub(super) probes: ProbeOrder,
    pub(super) own: OwnCidrs,
    pub(super) parts: PartReports,
    pub(super) kernel: KernelAccess,
    pub(super) published: Published,
    /// The previous agent had the routes in.
    was_routed: bool,
}

impl Known {
    pub(super) fn new(given: Given, now: Now) -> Self {
        Self {
            settings: given.settings,
            network: given.network,
            writes_conflist: given.writes_conflist,
            resync: given.resync,
            heartbeat: now.at,
            filter: FilterOrder::new(given.no_masquerade_to),
            probes: ProbeOrder::default(),
            own: OwnCidrs::new(now.at),
            parts: PartReports::default(),
            kernel: KernelAccess::default(),
            was_routed: given.state.routed,
            published: Published::new(given.state, given.previous_agent, now.at),
        }
    }

    /// Whether `node.json` has said, by this agent or the one before, that this node's routes have been in.
    pub(super) fn admits_pods(&self) -> bool {
        self.was_routed || self.parts.written.routed
    }

    /// Takes the heartbeat into the state where it is due; true then.
    pub(super) fn take_heartbeat(&mut self, now: Now) -> bool {
        let is_due = self.heartbeat <= now.at;
        if is_due {
            self.heartbeat = now.at + HEARTBEAT;
            self.published.state.beat(now.clocks);
        }
        is_due
    }
}
