//! What the agent looks after beside the routes, now and then: installed files, pools that endanger other nodes. Nothing
//! here stops the routes: what fails becomes a warning.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::install::Install;
use crate::leases::{Room, Stores};
use crate::pools::{Dangers, judge};
use crate::source::Snapshot;
use crate::state::Told;

/// The things that are looked after.
pub(crate) struct Upkeep {
    pub(crate) stores: Stores,
    pub(crate) install: Install,
}

/// How they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) dangers: Dangers,
    pub(crate) warnings: Vec<String>,
    /// How full this node's pools are, under the name of the network; known where the agent writes the conflist.
    pub(crate) room: Option<(String, Room)>,
}

/// This node in the cluster.
pub(crate) struct Position<'a> {
    pub(crate) me: &'a str,
    pub(crate) snapshot: &'a Snapshot,
    /// CIDRs to lease from.
    pub(crate) own: &'a [IpNetwork],
    /// Former CIDRs with leases that still live.
    pub(crate) draining: &'a [IpNetwork],
    /// The source of the node's traffic to its pods, where the kernel would take another.
    pub(crate) host_source: &'a [IpAddr],
    /// This node's own routes are in, so that pods may come.
    pub(crate) routed: bool,
}

impl Upkeep {
    /// Where things lie, for the operator's commands.
    pub(crate) fn told(&self) -> Told {
        Told {
            cni_bin_dir: self.install.bin_dir.clone(),
            cni_conf_dir: self.install.conf_dir.clone(),
            data_dir: Some(self.stores.data_dir().to_owned()),
        }
    }

    /// Looks after everything.
    pub(crate) fn look(&self, position: &Position<'_>) -> Report {
        let mut report = Report::default();
        self.files(position, &mut report);
        let leased = self.leases(position, &mut report);
        self.judge(position, &leased, &mut report);
        report
    }

    fn files(&self, position: &Position<'_>, report: &mut Report) {
        let warn = |error: crate::install::Error| format!("failed to {error}");
        match self.install.binaries() {
            Ok(changed) => changed.iter().for_each(|path| tracing::info!(path = %path.display(), "installed")),
            Err(error) => report.warnings.push(warn(error)),
        }
        if position.routed {
            match self.install.conflist(position.own, position.host_source) {
                Ok(Some(path)) => tracing::info!(path = %path.display(), "conflist written"),
                Ok(None) => {}
                Err(error) => report.warnings.push(warn(error)),
            }
        }
        match self.install.winners() {
            Ok(winners) => report.warnings.extend(winners.iter().map(|name| {
                format!("the runtime takes {name} before {}: it comes first by name", crate::conflist::FILE)
            })),
            Err(error) => report.warnings.push(warn(error)),
        }
    }

    /// The addresses that are leased.
    fn leases(&self, position: &Position<'_>, report: &mut Report) -> Vec<IpAddr> {
        if self.install.conf_dir.is_some()
            && let Ok(network) = cni::NetworkName::parse(&self.install.conflist.network)
            && let Ok(room) = self.stores.room(&network, position.own)
        {
            report.room = Some((network.to_string(), room));
        }
        self.stores.addresses().unwrap_or_default()
    }

    fn judge(&self, position: &Position<'_>, leased: &[IpAddr], report: &mut Report) {
        let pools = match self.install.pools() {
            Ok((pools, unread)) => {
                report.warnings.extend(unread);
                pools
            }
            Err(error) => {
                report.warnings.push(format!("failed to {error}"));
                Vec::new()
            }
        };
        let others = position.snapshot.nodes.iter().filter(|node| &*node.name != position.me);
        let others = others.flat_map(|node| node.pod_cidrs.iter().map(|cidr| (&*node.name, *cidr)));
        let drained = |address: &IpAddr| position.draining.iter().any(|cidr| cidr.contains(*address));
        let leased: Vec<IpAddr> = leased.iter().copied().filter(|address| !drained(address)).collect();
        report.dangers = judge(&pools, &leased, position.own, others);
    }
}
