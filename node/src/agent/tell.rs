//! What the agent tells: its state file, its verdicts, its metrics. And the look at what lies beside the routes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use super::predecessor::Predecessor;
use super::{Agent, Error};
use crate::describe::{describe, lines, unready};
use crate::host_source::host_source;
use crate::packet_filter::Standing;
use crate::routes::Key;
use crate::routes::kernel::Kernel;
use crate::routes::plan::Change;
use crate::routes::reconcile::{Reconciler, Turn};
use crate::routes::verdict::Ruling;
use crate::source::{self, Snapshot, file, object};
use crate::state::unix_now;
use crate::upkeep::Position;

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

    /// Looks at what lies beside the routes.
    pub(super) fn look(&mut self, reconciler: &Reconciler) {
        let me = &self.settings.me;
        let own = |ruling: &Ruling| -> Vec<IpNetwork> {
            let verdicts = reconciler.verdicts().iter();
            let mine = verdicts.filter(|verdict| verdict.node == *me && verdict.ruling == *ruling);
            mine.filter_map(|verdict| verdict.cidr).collect()
        };
        let snapshot = reconciler.in_force();
        let internal = snapshot.nodes.iter().find(|node| node.name == *me).map_or(&[][..], |node| &node.addresses);
        // What cannot be asked now is asked again at the next look; until then the kernel chooses.
        let sources = self.kernel.sources().unwrap_or_default();
        let report = self.upkeep.look(&Position {
            me,
            snapshot,
            own: &own(&Ruling::Own),
            draining: &own(&Ruling::Draining),
            host_source: &host_source(internal, &sources),
            routed: unready(reconciler, me).is_empty(),
        });
        self.last_look = report;
    }

    pub(super) fn describe(&mut self, reconciler: &Reconciler) -> Result<(), Error> {
        let was_ready = self.state.ready;
        describe(reconciler, &self.settings.me, Instant::now(), &mut self.state);
        self.state.routed |= self.state.reasons.is_empty();
        self.state.reasons.extend(self.last_look.dangers.grave.iter().cloned());
        self.state.ready = self.state.reasons.is_empty();
        let standings = self.packet_filter.lock().standings().clone();
        self.state.warnings = Vec::new();
        if let Standing::Missing(why) = &standings.source {
            self.state.warnings.push(format!("pods can forge their source address, the rule is missing: {why}"));
        }
        let dropping = standings.forward.iter().filter(|finding| finding.certain);
        self.state.warnings.extend(dropping.clone().map(ToString::to_string));
        self.state.forward_drops = dropping.count();
        self.state.masquerade = match standings.masquerade {
            Standing::Off => "off".to_owned(),
            Standing::InPlace => "on".to_owned(),
            Standing::Unknown => "unknown".to_owned(),
            Standing::Missing(why) => {
                self.state.warnings.push(format!("egress is not masqueraded as it should be: {why}"));
                "failed".to_owned()
            }
        };
        self.state.warnings.extend(self.last_look.dangers.slight.iter().chain(&self.last_look.warnings).cloned());
        self.state.warnings.extend(self.census.borrow().warnings.iter().cloned());
        self.state.warnings.extend(kept_values(reconciler.in_force()));
        self.state.former_mtu_pods = self.former_mtu.len();
        self.state.warnings.extend(self.told_former_mtu());
        if was_ready != self.state.ready {
            tracing::info!(ready = self.state.ready, reasons = self.state.reasons.join("; "), "readiness");
        }
        self.tell()
    }

    /// Asks the source rule what it has dropped.
    pub(super) fn tell_drops(&self) {
        if let Some(drops) = self.packet_filter.lock().drops() {
            self.metrics.tell_drops(drops);
        }
    }

    /// Takes in what an agent before this one said, as far as it still holds.
    pub(super) fn look_back(&mut self) {
        // No word, or none that is readable, is what a first start finds.
        let Ok(said) = self.run_dir.read_state() else { return };
        self.state.pod_mtus.clone_from(&said.pod_mtus);
        if let Ok(held) = self.kernel.routes() {
            self.predecessor = Predecessor::borne_out(said, &self.settings.me, &held);
            self.state.routed = self.predecessor.is_some();
        }
    }

    pub(super) fn tell(&self) -> Result<(), Error> {
        self.metrics.tell(&self.state, &self.last_look, &self.census.borrow());
        self.told.send_replace(self.state.clone());
        if self.predecessor.as_ref().is_some_and(Predecessor::vouches) {
            return Ok(());
        }
        let path = self.run_dir.state_file();
        self.run_dir
            .write_state(&self.state)
            .map_err(|source| Error::State { path: path.display().to_string(), source })
    }

    pub(super) fn tell_verdicts(&mut self, reconciler: &Reconciler) -> Result<(), Error> {
        let failed = |path: PathBuf| move |source| Error::State { path: path.display().to_string(), source };
        let lines = lines(reconciler);
        self.metrics.tell_verdicts(&lines);
        self.run_dir.write_verdicts(&lines).map_err(failed(self.run_dir.verdicts_file()))?;
        self.remember(reconciler).map_err(failed(self.run_dir.kept_file()))
    }

    /// Writes down what the nodes have, for the next agent: a node may lose it while none runs.
    fn remember(&mut self, reconciler: &Reconciler) -> io::Result<()> {
        let nodes = &reconciler.in_force().nodes;
        let mut hasher = DefaultHasher::new();
        for node in nodes {
            (&node.name, &node.uid, &node.addresses, &node.pod_cidrs).hash(&mut hasher);
        }
        let now = Some(hasher.finish());
        if self.remembered != now {
            self.run_dir.write_kept(&object::NodeList(nodes))?;
            self.remembered = now;
        }
        Ok(())
    }

    /// A node keeps what an agent before this one had of it and the list lacks now, where the kernel still holds a route to
    /// one of its CIDRs.
    pub(super) fn recall(&mut self, first: &mut Snapshot) -> Result<(), Error> {
        let path = self.run_dir.kept_file();
        if !path.exists() {
            return Ok(());
        }
        let mut kept = match file::read(&path, &mut file::Memory::default(), first.taken, true) {
            Some(Ok(kept)) => kept,
            Some(Err(error)) => {
                tracing::warn!(%error, "what the nodes had before is lost");
                return Ok(());
            }
            None => return Ok(()),
        };
        let routes = self.kernel.routes()?;
        let held = |key: Key| routes.contains_key(&key);
        kept.nodes.retain(|node| {
            node.malformed.is_empty()
                && node.pod_cidrs.iter().any(|cidr| held(Key::peer(*cidr)) || held(Key::own(*cidr)))
        });
        first.keep_last_good(&kept);
        Ok(())
    }
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
