//! What the agent tells: its state file, its verdicts, its metrics. And the look at what lies beside the routes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cni::NetworkName;
use ipnetwork::IpNetwork;

use super::previous_agent::PreviousAgent;
use super::{Agent, pod_mtu};
use crate::describe::{describe, lines, unready};
use crate::host_source::host_source;
use crate::metrics::Inner;
use filter::{Filtered, RuleState};
use install::housekeeping::Position;
use parts::within;
use pods::leases::Asked;
use routes::Key;
use routes::kernel::{Kernel, Rtnetlink};
use routes::plan::Change;
use routes::reconcile::{Reconciler, Turn};
use routes::verdict::Ruling;
use source::{self, Snapshot, file, object};
use state::{RunDir, State, unix_now};

/// How long a start waits for what the agent before this one left: a disk that hangs does not keep it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many kept values are warned of one by one.
const WARNED: usize = 20;

impl Agent {
    pub(super) fn source_succeeded(&mut self, snapshot: &Snapshot) {
        tracing::debug!(nodes = snapshot.nodes.len(), "list of nodes");
        if !snapshot.partial {
            self.state.source.last_sync = unix_now();
        }
        let error = snapshot.faults.join("; ");
        if !error.is_empty() {
            self.metrics.source_errors.inc();
        }
        if !error.is_empty() && self.state.source.error != error {
            tracing::warn!(%error, "a file of nodes cannot be read; the others count");
        }
        self.state.source.error = error;
    }

    pub(super) fn source_failed(&mut self, error: &source::Error) {
        self.metrics.source_errors.inc();
        let error = error.to_string();
        if self.state.source.error != error {
            tracing::warn!(%error, "no new list of nodes; the last good one stays");
            self.state.source.error = error;
        }
    }

    pub(super) fn count(&self, turn: &Turn, heals: bool, took: Duration) {
        let made = turn.applied.done.iter().filter(|change| !matches!(change, Change::Remove(_))).count();
        self.metrics.changes.inc_by(turn.applied.done.len() as u64);
        self.metrics.heals.inc_by(if heals { made as u64 } else { 0 });
        self.metrics.reconcile.observe(took.as_secs_f64());
    }

    /// Has what lies beside the routes looked at.
    pub(super) fn look(&mut self, reconciler: &Reconciler) {
        let me = &self.settings.me;
        let snapshot = reconciler.in_force();
        let internal = snapshot.nodes.iter().find(|node| node.name == *me).map_or(&[][..], |node| &node.addresses);
        // What cannot be asked now is asked again at the next look; until then the kernel chooses.
        let sources = self.kernel.as_mut().and_then(|kernel| kernel.sources().ok()).unwrap_or_default();
        let others = snapshot.nodes.iter().filter(|node| node.name != *me);
        let others = others.flat_map(|node| node.pod_cidrs.iter().map(|cidr| (node.name.clone(), *cidr)));
        self.desk.position.send_replace(Some(Position {
            others: others.collect(),
            own: own(me, reconciler, &Ruling::Own),
            draining: own(me, reconciler, &Ruling::Draining),
            leased: self.desk.lease_counts.borrow().addresses(),
            host_source: host_source(internal, &sources),
            routed: unready(reconciler, me).is_empty(),
        }));
    }

    /// Says which pools the leases are to be counted for, and asks for a look that begins no earlier than `since`.
    pub(super) fn ask_for_leases(&self, reconciler: &Reconciler, since: Option<Instant>) {
        let cidrs = own(&self.settings.me, reconciler, &Ruling::Own);
        let writes = self.state.configured_paths.cni_conf_dir.is_some();
        let network = NetworkName::parse(&self.network).ok().filter(|_| writes);
        let pools = network.map(|network| (network, cidrs));
        self.desk.asked.send_if_modified(|asked| {
            let now = Asked { since: since.max(asked.since), pools };
            let is_new = *asked != now;
            *asked = now;
            is_new
        });
    }

    pub(super) fn describe(&mut self, reconciler: &Reconciler) {
        let was_ready = self.state.ready;
        describe(reconciler, &self.settings.me, Instant::now(), &mut self.state);
        self.state.routed |= self.state.reasons.is_empty();
        let files = self.desk.files.borrow().clone();
        if files.is_some() || Instant::now() > self.patient_until {
            // This agent knows better now.
            self.previous_agent = None;
        } else {
            self.state.reasons.push("the pools of this node were not looked at yet".to_owned());
        }
        let files = files.unwrap_or_default();
        self.state.reasons.extend(files.dangers.grave.iter().cloned());
        self.state.ready = self.state.reasons.is_empty();
        let Filtered { states, drops, .. } = self.desk.filtered.borrow().clone();
        if let Some(drops) = drops {
            self.metrics.set_drops(drops);
        }
        self.state.warnings = Vec::new();
        if let RuleState::Missing(why) = &states.source {
            self.state.warnings.push(format!("pods can forge their source address, the rule is missing: {why}"));
        }
        let dropping = states.forward.iter().filter(|finding| finding.certain);
        self.state.warnings.extend(dropping.clone().map(ToString::to_string));
        self.state.forward_drops = dropping.count();
        self.state.masquerade = match states.masquerade {
            RuleState::Off => "off".to_owned(),
            RuleState::InPlace => "on".to_owned(),
            RuleState::Unknown => "unknown".to_owned(),
            RuleState::Missing(why) => {
                self.state.warnings.push(format!("egress is not masqueraded as it should be: {why}"));
                "failed".to_owned()
            }
        };
        let forwarding = self.desk.forwarding.borrow().clone();
        self.metrics.set_forwarding(&forwarding);
        self.state.warnings.extend(forwarding.warnings);
        self.state.warnings.extend(files.dangers.slight.into_iter().chain(files.warnings));
        self.state.warnings.extend(self.desk.lease_counts.borrow().warnings.iter().cloned());
        self.state.warnings.extend(kept_values(reconciler.in_force()));
        let kept = self.desk.former_mtus.borrow().clone();
        self.state.former_mtu_pods = kept.len();
        self.state.warnings.extend(pod_mtu::former(&kept));
        if self.unreadable > 0 {
            let odd = self.unreadable;
            self.state
                .warnings
                .push(format!("{odd} links, addresses or routes of the kernel cannot be read and are left out"));
        }
        self.state.warnings.extend(self.own_warnings());
        if was_ready != self.state.ready {
            tracing::info!(ready = self.state.ready, reasons = self.state.reasons.join("; "), "readiness");
        }
        self.publish()
    }

    /// What is wrong with the agent itself.
    fn own_warnings(&self) -> Vec<String> {
        let deaf = self.listener.trouble();
        let deaf = deaf.map(|why| format!("route changes in the kernel are not received: failed to {why}"));
        let unfiled = self.desk.unfiled.borrow().clone();
        unfiled.into_iter().chain(self.kernel_trouble.clone()).chain(deaf).chain(self.part_troubles.clone()).collect()
    }

    /// The same before anything else can be said.
    pub(super) fn publish_beginning(&mut self) {
        self.state.warnings = self.own_warnings();
        self.publish();
    }

    /// Publishes how everything stands.
    pub(super) fn publish(&self) {
        let dangers = self.desk.files.borrow().as_ref().map(|files| files.dangers.clone()).unwrap_or_default();
        let inner = Inner { unreadable: self.unreadable, part_troubles: self.part_troubles.len() };
        self.metrics.set_state(&self.state, &dangers, &self.desk.lease_counts.borrow(), inner);
        self.published.send_replace(self.state.clone());
        if !self.previous_agent.as_ref().is_some_and(PreviousAgent::vouches) {
            self.desk.state_files.state.put(self.state.clone());
        }
    }

    pub(super) fn publish_verdicts(&mut self, reconciler: &Reconciler) {
        let lines = lines(reconciler);
        self.metrics.set_verdicts(&lines);
        self.desk.state_files.verdicts.put(lines);
        self.remember(reconciler);
    }

    /// Writes down what the nodes have, for the next agent: a node may lose it while none runs.
    fn remember(&mut self, reconciler: &Reconciler) {
        let nodes = &reconciler.in_force().nodes;
        let mut hasher = DefaultHasher::new();
        for node in nodes {
            (&node.name, &node.uid, &node.addresses, &node.pod_cidrs).hash(&mut hasher);
        }
        let now = Some(hasher.finish());
        if self.remembered != now
            && let Ok(list) = serde_json::to_vec(&object::NodeList(nodes))
        {
            self.desk.state_files.nodes.put(list);
            self.remembered = now;
        }
    }

    /// A node keeps what an agent before this one had of it and the list lacks now, where the kernel still holds a route to
    /// one of its CIDRs.
    pub(super) async fn recall(&mut self, first: &mut Snapshot) {
        let (path, taken) = (self.run_dir.kept_file(), first.taken);
        let read = move || {
            let kept = path.exists().then(|| file::read(&path, &mut file::Memory::default(), taken, true));
            kept.flatten()
        };
        let mut kept = match within(PATIENCE, read).await {
            Some(Some(Ok(kept))) => kept,
            Some(None) => return,
            Some(Some(Err(error))) => {
                tracing::warn!(%error, "what the nodes had before is lost");
                return;
            }
            None => {
                tracing::warn!("what the nodes had before is lost: it cannot be read now");
                return;
            }
        };
        let routes = match Rtnetlink::open().and_then(|mut kernel| kernel.routes()) {
            Ok(routes) => routes,
            Err(error) => {
                tracing::warn!(%error, "what the nodes had before is lost: the kernel cannot be asked");
                return;
            }
        };
        let held = |key: Key| routes.contains_key(&key);
        kept.nodes.retain(|node| {
            node.malformed.is_empty()
                && node.pod_cidrs.iter().any(|cidr| held(Key::peer(*cidr)) || held(Key::own(*cidr)))
        });
        first.keep_last_good(&kept);
    }
}

/// What the agent before this one said last. None, or none that is readable, is what a first start finds.
pub(super) async fn look_back(run_dir: &RunDir) -> Option<State> {
    let run_dir = run_dir.clone();
    within(PATIENCE, move || run_dir.read_state()).await?.ok()
}

/// The same, as far as the kernel still holds what it speaks of.
pub(super) fn confirmed(said: State, me: &str) -> Option<PreviousAgent> {
    let held = Rtnetlink::open().and_then(|mut kernel| kernel.routes()).ok()?;
    PreviousAgent::confirmed(said, me, &held)
}

/// The CIDRs of this node with such a verdict.
fn own(me: &Arc<str>, reconciler: &Reconciler, ruling: &Ruling) -> Vec<IpNetwork> {
    let verdicts = reconciler.verdicts().iter();
    let mine = verdicts.filter(|verdict| verdict.node == *me && verdict.ruling == *ruling);
    mine.filter_map(|verdict| verdict.cidr).collect()
}

/// What is kept of the nodes, as warnings.
fn kept_values(snapshot: &Snapshot) -> Vec<String> {
    let kept = || snapshot.nodes.iter().flat_map(|node| node.kept.iter().map(move |kept| (&node.name, kept)));
    let mut warnings: Vec<String> = kept()
        .take(WARNED)
        .map(|(name, kept)| format!("{name} has {kept} (podlan-node release-withdrawal forgets it)"))
        .collect();
    let others = kept().count() - warnings.len();
    if others > 0 {
        warnings.push(format!("{others} more addresses and pod CIDRs are kept that the list of nodes lacks"));
    }
    warnings
}
