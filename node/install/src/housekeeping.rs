//! What the agent looks after beside the routes, now and then: installed files, pools that endanger other nodes. Nothing
//! here stops the routes: what fails becomes a warning. A part of the agent.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use tokio::sync::watch;

use crate::Install;
use crate::conflist::FILE;
use crate::pools::{Dangers, judge};
use parts::{Activity, Output};

/// How they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesState {
    /// What endangers the uniqueness of addresses.
    pub dangers: Dangers,
    /// What could not be done, and configurations that come before ours.
    pub warnings: Vec<String>,
}

/// This node in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The other nodes' pod CIDRs, each with its node's name.
    pub others: Arc<[(Arc<str>, IpNetwork)]>,
    /// CIDRs to lease from.
    pub own: Vec<IpNetwork>,
    /// Former CIDRs with leases that still live.
    pub draining: Vec<IpNetwork>,
    /// The addresses that are leased.
    pub leased: Vec<IpAddr>,
    /// The source of the node's traffic to its pods, where the kernel would take another.
    pub host_source: Vec<IpAddr>,
    /// This node's own routes are in, so that pods may come.
    pub routed: bool,
}

/// Looks after the files each time that the position is sent; ends when nobody sends it any more. The output is `None`
/// before the first look.
pub async fn keep(
    install: Install,
    mut position: watch::Receiver<Option<Position>>,
    output: Output<Option<FilesState>>,
    activity: Activity,
) -> String {
    position.mark_changed();
    while position.changed().await.is_ok() {
        let Some(now) = position.borrow_and_update().clone() else { continue };
        let shown = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| dir.display().to_string());
        let directories: Vec<String> =
            [shown(&install.bin_dir), shown(&install.conf_dir)].into_iter().flatten().collect();
        let _begun = activity.begin(format!("look after the files in {}", directories.join(" and ")));
        output.set(Some(look(&install, &now)));
    }
    "nobody has files looked after any more".to_owned()
}

/// Looks after everything.
fn look(install: &Install, position: &Position) -> FilesState {
    let mut report = FilesState::default();
    files(install, position, &mut report);
    let pools = match install.pools() {
        Ok((pools, unread)) => {
            report.warnings.extend(unread);
            pools
        }
        Err(error) => {
            report.warnings.push(format!("failed to {error}"));
            Vec::new()
        }
    };
    let others = position.others.iter().map(|(node, cidr)| (&**node, *cidr));
    let drained = |address: &IpAddr| position.draining.iter().any(|cidr| cidr.contains(*address));
    let leased: Vec<IpAddr> = position.leased.iter().copied().filter(|address| !drained(address)).collect();
    report.dangers = judge(&pools, &leased, &position.own, others);
    report
}

fn files(install: &Install, position: &Position, report: &mut FilesState) {
    let warn = |error: crate::Error| format!("failed to {error}");
    match install.binaries() {
        Ok(changed) => changed.iter().for_each(|path| tracing::info!(path = %path.display(), "installed")),
        Err(error) => report.warnings.push(warn(error)),
    }
    if position.routed {
        match install.conflist(&position.own, &position.host_source) {
            Ok(Some(path)) => tracing::info!(path = %path.display(), "conflist written"),
            Ok(None) => {}
            Err(error) => report.warnings.push(warn(error)),
        }
    }
    match install.winners() {
        Ok(winners) => report.warnings.extend(
            winners.iter().map(|name| format!("the runtime takes {name} before {FILE}: it comes first by name")),
        ),
        Err(error) => report.warnings.push(warn(error)),
    }
}
