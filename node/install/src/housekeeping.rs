//! What the agent keeps in place beside the routes: installed files, and pools that endanger no other node. Nothing here
//! stops the routes: what fails becomes a warning. A part of the agent.
//!
//! `machine` decides; this is its shell, which waits, reads and writes files, and publishes.

mod changes;
mod machine;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use tokio::sync::watch;

use self::changes::Changes;
use self::machine::{Action, Answer, Event, Machine, Request};
use crate::Install;
use crate::pools::Dangers;
use parts::{Activity, Output};

/// The state of the files and pools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesState {
    /// What endangers the uniqueness of addresses.
    pub dangers: Dangers,
    /// What could not be done, and configurations that come before ours.
    pub warnings: Vec<String>,
    /// They were looked after with [`Position::routed`]: the configuration is written, or a warning says why not.
    pub routed: bool,
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
    /// This node's own routes are in, and `node.json` says so: pods may come.
    pub routed: bool,
}

/// Checks the files each time that the position is sent, and when one of them is changed; ends when the loop no longer sends it. The output is `None`
/// before the first check.
pub async fn keep(
    install: Install,
    mut position: watch::Receiver<Option<Position>>,
    output: Output<Option<FilesState>>,
    activity: Activity,
) -> String {
    position.mark_changed();
    let mut machine = Machine::default();
    let mut changes = Changes::of(&install);
    loop {
        changes.renew();
        tokio::select! {
            biased;
            changed = position.changed() => if changed.is_err() {
                break;
            },
            () = changes.next() => {}
        }
        let Some(now) = position.borrow_and_update().clone() else { continue };
        let shown = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| dir.display().to_string());
        let directories: Vec<String> =
            [shown(&install.bin_dir), shown(&install.conf_dir)].into_iter().flatten().collect();
        let _begun = activity.begin(format!("look after the files in {}", directories.join(" and ")));
        let mut event = Some(Event::Position(now));
        while let Some(action) = event.take().and_then(|event| machine.on(event)) {
            match action {
                Action::Ask(number, request) => event = Some(Event::Answered(number, carry_out(&install, &request))),
                Action::Publish(state) => {
                    output.set(Some(state));
                    event = Some(Event::Published);
                }
            }
        }
    }
    "nobody has files looked after any more".to_owned()
}

fn carry_out(install: &Install, request: &Request) -> Answer {
    let failed = |error: crate::Error| format!("failed to {error}");
    match request {
        Request::Binaries => {
            let changed = install.binaries();
            changed.iter().flatten().for_each(|path| tracing::info!(path = %path.display(), "installed"));
            Answer::Done(changed.map(drop).map_err(failed))
        }
        Request::Conflist { own, host_source } => {
            let written = install.conflist(own, host_source);
            let paths = written.iter().flatten();
            paths.for_each(|path| tracing::info!(path = %path.display(), "conflist written"));
            Answer::Done(written.map(drop).map_err(failed))
        }
        Request::Winners => Answer::Winners(install.winners().map_err(failed)),
        Request::Pools => Answer::Pools(install.pools().map_err(failed)),
    }
}
