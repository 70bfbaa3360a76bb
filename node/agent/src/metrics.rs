//! The agent's metrics, named by Prometheus' conventions. They repeat the state or count events; nothing is decided by
//! them.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use agent_core::Inner;
use conditions::Kind;
use filter::Drops;
use install::pools::Dangers;
use netlink::Family as AddressFamily;
use pods::forwarding::keep::Forwarding;
use pods::leases::{LeaseCounts, Room, Rooms};
use probes::machine::{Counts, Verdict};
use state::{RouteCounts, State, VerdictLine};

/// Two labels and their values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels([(&'static str, String); 2]);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

fn labels(one: (&'static str, &str), other: (&'static str, &str)) -> Labels {
    Labels([(one.0, one.1.to_owned()), (other.0, other.1.to_owned())])
}

type Level = Gauge<f64, AtomicU64>;

/// All metrics, and the registry that prints them.
pub(crate) struct Metrics {
    registry: Registry,
    ready: Gauge,
    routes: Family<Labels, Gauge>,
    verdicts: Family<Labels, Gauge>,
    leases: Family<Labels, Gauge>,
    held: Gauge,
    dangers: Gauge,
    warnings: Gauge,
    source_failing: Gauge,
    pool_addresses: Family<Vec<(&'static str, String)>, Gauge>,
    pool_size: Family<Vec<(&'static str, String)>, Level>,
    pool_free: Family<Vec<(&'static str, String)>, Level>,
    masquerade: Gauge,
    forward_drops: Gauge,
    forwarding: Family<Vec<(&'static str, String)>, Gauge>,
    forwarding_heals: Counter,
    source_rule_drops: Family<Vec<(&'static str, String)>, Counter>,
    former_mtu_pods: Gauge,
    conditions: Family<Labels, Gauge>,
    unreadable: Gauge,
    part_troubles: Gauge,
    source_synced: Level,
    /// A source's errors.
    pub(crate) source_errors: Counter,
    /// Routes that another program removed and the agent restored.
    pub(crate) heals: Counter,
    /// Messages to the kernel that changed a route.
    pub(crate) changes: Counter,
    /// Leases taken back because their owners were provably gone.
    reclaimed: Counter,
    /// The duration of a reconciliation.
    pub(crate) reconcile: Histogram,
    paths: Family<Labels, Gauge>,
    /// Round trips of probes.
    pub(crate) round_trips: Histogram,
    probe_packets: Family<Vec<(&'static str, String)>, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("podlan_node"),
            ready: Gauge::default(),
            routes: Family::default(),
            verdicts: Family::default(),
            leases: Family::default(),
            held: Gauge::default(),
            dangers: Gauge::default(),
            warnings: Gauge::default(),
            source_failing: Gauge::default(),
            pool_addresses: Family::default(),
            pool_size: Family::default(),
            pool_free: Family::default(),
            masquerade: Gauge::default(),
            forward_drops: Gauge::default(),
            forwarding: Family::default(),
            forwarding_heals: Counter::default(),
            source_rule_drops: Family::default(),
            former_mtu_pods: Gauge::default(),
            conditions: Family::default(),
            unreadable: Gauge::default(),
            part_troubles: Gauge::default(),
            source_synced: Level::default(),
            source_errors: Counter::default(),
            heals: Counter::default(),
            changes: Counter::default(),
            reclaimed: Counter::default(),
            reconcile: Histogram::new([0.0005, 0.002, 0.01, 0.05, 0.2, 1.0]),
            paths: Family::default(),
            round_trips: Histogram::new([0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]),
            probe_packets: Family::default(),
        };
        let to = &mut metrics.registry;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        to.register("build", "The version of this agent", Info::new(version));
        to.register(
            "ready",
            "1 when this node's own routes are in the kernel and its pools are unique in the cluster",
            metrics.ready.clone(),
        );
        to.register("routes", "Routes by family and by state: desired, installed, failed", metrics.routes.clone());
        to.register("verdicts", "Pod CIDRs of the cluster by verdict and reason", metrics.verdicts.clone());
        to.register("leases", "Leases and free addresses by network and state", metrics.leases.clone());
        to.register("withdrawal_held_routes", "Routes that a held list of nodes would withdraw", metrics.held.clone());
        to.register("pool_dangers", "Pools or leases that may not be unique in the cluster", metrics.dangers.clone());
        to.register("masquerade", "1 when egress is masqueraded", metrics.masquerade.clone());
        to.register("warnings", "Warnings that `podlan-node status` shows", metrics.warnings.clone());
        let pool = metrics.pool_addresses.clone();
        to.register(
            "pool_addresses",
            "Addresses that this node can give to pods, by network: of its fullest pool",
            pool,
        );
        let size = metrics.pool_size.clone();
        to.register("pool_size", "Addresses that this node can give to pods, by network and family", size);
        let free = metrics.pool_free.clone();
        to.register("pool_free", "Those of them that are not leased, by network and family", free);
        to.register("source_failing", "1 while the list of nodes cannot be read", metrics.source_failing.clone());
        let drops = metrics.forward_drops.clone();
        to.register("forward_drops", "Chains of other programs that drop traffic between pods", drops);
        let forwarding = metrics.forwarding.clone();
        to.register("forwarding", "0 while packets of pods are not forwarded, by family; otherwise 1", forwarding);
        let heals = metrics.forwarding_heals.clone();
        to.register("forwarding_heals", "Forwarding switched on again after another program switched it off", heals);
        let drops = metrics.source_rule_drops.clone();
        to.register(
            "source_rule_drops",
            "Packets of pods dropped: with a forged source address, or to the node's loopback",
            drops,
        );
        let former = metrics.former_mtu_pods.clone();
        to.register("former_mtu_pods", "Pods whose links have a former MTU of the node", former);
        let conditions = metrics.conditions.clone();
        to.register("conditions", "Conditions that `podlan-node status` lists, by kind and severity", conditions);
        let unreadable = metrics.unreadable.clone();
        to.register("unreadable_objects", "Links, addresses and routes in the kernel that cannot be read", unreadable);
        let parts = metrics.part_troubles.clone();
        to.register("part_troubles", "Parts of the agent that ended, panicked or are stuck", parts);
        let synced = metrics.source_synced.clone();
        to.register_with_unit(
            "source_last_sync_timestamp",
            "Time of the last complete list of nodes",
            Unit::Seconds,
            synced,
        );
        to.register("source_errors", "Failed attempts to read the list of nodes", metrics.source_errors.clone());
        to.register("route_heals", "Routes restored after another program removed them", metrics.heals.clone());
        to.register("route_changes", "Routes added, replaced or removed", metrics.changes.clone());
        to.register(
            "leases_reclaimed",
            "Leases taken back because their owners were provably gone",
            metrics.reclaimed.clone(),
        );
        let reconcile = metrics.reconcile.clone();
        to.register_with_unit("reconcile_duration", "Duration of a reconciliation", Unit::Seconds, reconcile);
        let paths = metrics.paths.clone();
        to.register("paths", "Paths to the pods of other nodes, by family and by what the probes found", paths);
        let round_trips = metrics.round_trips.clone();
        to.register_with_unit(
            "path_round_trip",
            "Round trips of full-size probes to the pods of other nodes",
            Unit::Seconds,
            round_trips,
        );
        let packets = metrics.probe_packets.clone();
        to.register(
            "probe_packets",
            "Path probes: requests and answers sent; received and dropped: malformed, unlisted, unanswered",
            packets,
        );
        metrics
    }

    /// Sets the metrics of the state.
    pub(crate) fn set_state(&self, state: &State, dangers: &Dangers, lease_counts: &LeaseCounts, inner: Inner) {
        self.ready.set(state.ready.into());
        self.counts("ipv4", &state.v4);
        self.counts("ipv6", &state.v6);
        self.held.set(state.held.as_ref().map_or(0, |held| number(held.withdraws as u64)));
        self.dangers.set(number((dangers.grave.len() + dangers.slight.len()) as u64));
        self.forward_drops.set(number(state.forward_drops as u64));
        self.former_mtu_pods.set(number(state.former_mtu_pods as u64));
        self.masquerade.set((state.masquerade == "on").into());
        self.warnings.set(number(state.warnings.len() as u64));
        self.source_failing.set((!state.source.error.is_empty()).into());
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay far below 2^52")]
        self.source_synced.set(state.source.last_sync as f64);
        self.paths.clear();
        for (family, counts) in state.paths.iter().flat_map(|paths| &paths.counts) {
            for word in Verdict::WORDS {
                let count = counts.get(word).copied().unwrap_or_default();
                self.paths.get_or_create(&labels(("family", family), ("state", word))).set(number(count as u64));
            }
        }
        for kind in Kind::ALL {
            let count = state.conditions.iter().filter(|condition| condition.kind == *kind).count();
            let level = labels(("kind", kind.name()), ("severity", kind.severity().name()));
            self.conditions.get_or_create(&level).set(number(count as u64));
        }
        self.leases.clear();
        self.pool_addresses.clear();
        self.pool_size.clear();
        self.pool_free.clear();
        for counts in &lease_counts.leases {
            let level = |state| self.leases.get_or_create(&labels(("network", &counts.network), ("state", state)));
            level("alive").set(number(counts.alive));
            level("unknown").set(number(counts.unknown));
        }
        self.reclaimed.inner().store(lease_counts.reclaimed, Ordering::Relaxed);
        self.unreadable.set(number(inner.unreadable));
        self.part_troubles.set(number(inner.part_troubles as u64));
        if let Some((network, rooms)) = &lease_counts.rooms {
            self.rooms(network, rooms);
        }
    }

    /// How full the pools are: by family, and, as before there were families, of the fullest one, which is exhausted first.
    fn rooms(&self, network: &str, rooms: &Rooms) {
        let free = |room: &Room| room.capacity.saturating_sub(room.used);
        let families = AddressFamily::BOTH;
        for (family, room) in
            families.into_iter().zip(rooms).filter_map(|(family, room)| Some((family, room.as_ref()?)))
        {
            let labels = || vec![("network", network.to_owned()), ("family", family.to_string().to_lowercase())];
            self.pool_size.get_or_create(&labels()).set(level_of(room.capacity));
            self.pool_free.get_or_create(&labels()).set(level_of(free(room)));
        }
        let Some(room) = rooms.iter().flatten().min_by_key(|room| free(room)) else { return };
        let level = |state| self.leases.get_or_create(&labels(("network", network), ("state", state)));
        level("cooling").set(number(room.cooling));
        level("free").set(number(free(room)));
        self.pool_addresses.get_or_create(&vec![("network", network.to_owned())]).set(number(room.capacity));
    }

    /// Sets the kernel's counters; they start at 0 when the rules are created again.
    pub(crate) fn set_drops(&self, drops: Drops) {
        let Drops { forged, loopback } = drops;
        for (rule, packets) in [("forged", forged), ("loopback", loopback)] {
            let counter = self.source_rule_drops.get_or_create(&vec![("rule", rule.to_owned())]);
            counter.inner().store(packets, Ordering::Relaxed);
        }
    }

    /// Sets the counters of probes.
    pub(crate) fn set_probes(&self, counts: Counts) {
        let Counts { requests, answers, malformed, unlisted, unanswered } = counts;
        let kinds = [
            ("request", requests),
            ("answer", answers),
            ("malformed", malformed),
            ("unlisted", unlisted),
            ("unanswered", unanswered),
        ];
        for (kind, packets) in kinds {
            let counter = self.probe_packets.get_or_create(&vec![("kind", kind.to_owned())]);
            counter.inner().store(packets, Ordering::Relaxed);
        }
    }

    /// Sets the metrics of forwarding.
    pub(crate) fn set_forwarding(&self, forwarding: &Forwarding) {
        let Forwarding { off: [v4, v6], heals, .. } = forwarding;
        for (family, off) in [("ipv4", v4), ("ipv6", v6)] {
            self.forwarding.get_or_create(&vec![("family", family.to_owned())]).set((!off).into());
        }
        self.forwarding_heals.inner().store(*heals, Ordering::Relaxed);
    }

    /// Sets the counts of verdicts.
    pub(crate) fn set_verdicts(&self, lines: &[VerdictLine]) {
        self.verdicts.clear();
        for line in lines {
            self.verdicts.get_or_create(&labels(("verdict", &line.verdict), ("reason", &line.reason))).inc();
        }
    }

    fn counts(&self, family: &str, counts: &RouteCounts) {
        let RouteCounts { desired, installed, failed } = *counts;
        for (state, value) in [("desired", desired), ("installed", installed), ("failed", failed)] {
            self.routes.get_or_create(&labels(("family", family), ("state", state))).set(number(value as u64));
        }
    }

    /// The metrics as Prometheus reads them (OpenMetrics text).
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Exact up to 2^53; beyond that nobody counts them.
#[expect(clippy::cast_precision_loss, reason = "a pool of more than 2^53 addresses is never nearly full")]
fn level_of(value: u64) -> f64 {
    value as f64
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_counted_by_family_and_the_fullest_one_is_the_networks() {
        let metrics = Metrics::new();
        let v4 = Room { used: 250, cooling: 1, capacity: 253 };
        let v6 = Room { used: 250, cooling: 1, capacity: u64::MAX };
        let rooms = Some(("podnet".to_owned(), [Some(v4), Some(v6)]));
        let counts = LeaseCounts { rooms, ..LeaseCounts::default() };
        metrics.set_state(&State::starting("n1", "file x"), &Dangers::default(), &counts, Inner::default());
        let text = metrics.text();
        for line in [
            "podlan_node_pool_addresses{network=\"podnet\"} 253",
            "podlan_node_leases{network=\"podnet\",state=\"free\"} 3",
            "podlan_node_pool_free{network=\"podnet\",family=\"ipv4\"} 3.0",
            "podlan_node_pool_size{network=\"podnet\",family=\"ipv4\"} 253.0",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("9223372036854775807"), "{text}");
    }

    #[test]
    fn the_text_has_the_values_that_were_set() {
        let metrics = Metrics::new();
        let mut state = State::starting("n1", "file x");
        state.v4 = RouteCounts { desired: 3, installed: 2, failed: 1 };
        metrics.set_state(&state, &Dangers::default(), &LeaseCounts::default(), Inner::default());
        metrics.heals.inc();
        let text = metrics.text();
        for line in [
            "podlan_node_ready 0",
            "podlan_node_routes{family=\"ipv4\",state=\"installed\"} 2",
            "podlan_node_route_heals_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
    }
}
