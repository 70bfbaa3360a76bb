//! What the agent says of itself, as values and as the files in its run directory: `node.json`, small, which the plugin's
//! STATUS reads, and `verdicts.json`, one line of judgement per peer, for people. Both are 0600 in a 0700 directory.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::place::{Lasting, place};
use crate::regular;
use crate::routes::Target;

/// The default run directory.
pub(crate) const RUN_DIR: &str = "/run/podlan";

/// How often the agent says that it lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

/// How old `node.json` may be before the agent must be taken for dead: three missed heartbeats, in seconds.
const STALE_AFTER: u64 = 35;

/// The most bytes of a file of the agent's.
const LONGEST: u64 = 256 << 20;

/// `node.json`. Times are seconds since 1970, for people; the age of it all goes by the boot clock, which nobody sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// 1; a reader refuses what it does not know.
    pub(crate) version: u32,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) updated: u64,
    /// When it was written, in seconds of `CLOCK_BOOTTIME`.
    pub(crate) boot_time: u64,
    /// Seconds after `boot_time` from which on this says nothing any more.
    pub(crate) stale_after: u64,
    /// The first whole snapshot is in force, and so are this node's own routes.
    pub(crate) ready: bool,
    /// Why it is not ready; empty when it is.
    pub(crate) reasons: Vec<String>,
    /// This node's own routes have been in since it started, whatever became of them: before that no pod is added.
    #[serde(default)]
    pub(crate) routed: bool,
    #[serde(rename = "podCIDRs")]
    pub(crate) pod_cidrs: Vec<String>,
    /// This node's InternalIPs, by the list of nodes.
    #[serde(default)]
    pub(crate) addresses: Vec<IpAddr>,
    /// Where it was told that things lie.
    #[serde(default)]
    pub(crate) told: Told,
    pub(crate) source: SourceState,
    pub(crate) v4: Counts,
    pub(crate) v6: Counts,
    /// How many peers' CIDRs have each verdict, by its word.
    pub(crate) verdicts: BTreeMap<String, usize>,
    /// A withdrawal that the guard holds.
    pub(crate) held: Option<HeldState>,
    /// Whether egress is masqueraded: `on`, `off`, `failed`, or `unknown` before the first list of nodes.
    #[serde(default)]
    pub(crate) masquerade: String,
    /// How many chains of others drop traffic between pods.
    #[serde(default)]
    pub(crate) forward_drops: usize,
    /// The MTUs that pods of this node inherited since it booted, the present one last.
    #[serde(default)]
    pub(crate) pod_mtus: Vec<u32>,
    /// How many pods keep a former one of these.
    #[serde(default)]
    pub(crate) former_mtu_pods: usize,
    /// What an operator should know, ready or not.
    pub(crate) warnings: Vec<String>,
}

/// What the agent was told on its command line of things that the operator's commands look at too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) cni_bin_dir: Option<PathBuf>,
    pub(crate) cni_conf_dir: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
}

/// Where the nodes come from and how that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceState {
    pub(crate) name: String,
    /// When it last yielded a whole snapshot; 0 before the first.
    pub(crate) last_sync: u64,
    /// Why it yields none now; "" when it does.
    pub(crate) error: String,
}

/// Routes of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) desired: usize,
    pub(crate) installed: usize,
    pub(crate) failed: usize,
}

/// A held withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldState {
    pub(crate) withdraws: usize,
    pub(crate) of: usize,
    pub(crate) until: u64,
}

/// One line of `verdicts.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerdictLine {
    pub(crate) node: String,
    /// "" for a node of which no CIDR can be used.
    pub(crate) cidr: String,
    pub(crate) verdict: String,
    /// One word where the verdict is `skipped` or the route is not in; otherwise "".
    pub(crate) reason: String,
    pub(crate) text: String,
    /// The route that there should be, if there should be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wanted: Option<Target>,
}

impl State {
    /// An agent that knows nothing yet.
    pub(crate) fn starting(node: &str, source: &str) -> Self {
        Self {
            version: 1,
            node: node.to_owned(),
            pid: std::process::id(),
            updated: unix_now(),
            boot_time: boot_now(),
            stale_after: STALE_AFTER,
            ready: false,
            reasons: vec!["the first whole list of nodes has not come yet".to_owned()],
            routed: false,
            pod_cidrs: Vec::new(),
            addresses: Vec::new(),
            told: Told::default(),
            source: SourceState { name: source.to_owned(), last_sync: 0, error: String::new() },
            v4: Counts::default(),
            v6: Counts::default(),
            verdicts: BTreeMap::new(),
            held: None,
            masquerade: "unknown".to_owned(),
            forward_drops: 0,
            pod_mtus: Vec::new(),
            former_mtu_pods: 0,
            warnings: Vec::new(),
        }
    }

    /// Says that the agent lives.
    pub(crate) fn beat(&mut self) {
        self.updated = unix_now();
        self.boot_time = boot_now();
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.boot_time.abs_diff(boot_now()) > self.stale_after
    }
}

/// Seconds of `CLOCK_BOOTTIME`: of this boot, suspended time included.
fn boot_now() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| now.tv_sec().cast_unsigned())
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The files of a run directory.
#[derive(Clone, Debug)]
pub(crate) struct RunDir(pub(crate) PathBuf);

impl RunDir {
    pub(crate) fn state_file(&self) -> PathBuf {
        self.0.join("node.json")
    }

    pub(crate) fn verdicts_file(&self) -> PathBuf {
        self.0.join("verdicts.json")
    }

    /// What the nodes have, the last good of what the list lacks now included, as a list of nodes.
    pub(crate) fn kept_file(&self) -> PathBuf {
        self.0.join("kept.json")
    }

    /// Held by the agent while it runs: two agents would fight over the routes.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.0.join("node.lock")
    }

    /// Where the agent takes an operator's commands.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.0.join("node.sock")
    }

    pub(crate) fn write_state(&self, state: &State) -> io::Result<()> {
        write(&self.state_file(), state)
    }

    pub(crate) fn write_verdicts(&self, verdicts: &[VerdictLine]) -> io::Result<()> {
        write(&self.verdicts_file(), verdicts)
    }

    /// What the nodes have, as a list in JSON.
    pub(crate) fn write_kept(&self, kept: &[u8]) -> io::Result<()> {
        place(&self.kept_file(), kept, 0o600, Lasting::No)
    }

    pub(crate) fn read_state(&self) -> io::Result<State> {
        read(&self.state_file())
    }

    pub(crate) fn read_verdicts(&self) -> io::Result<Vec<VerdictLine>> {
        read(&self.verdicts_file())
    }
}

fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    place(path, &bytes, 0o600, Lasting::No)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&regular::read(path, LONGEST)?)?)
}
