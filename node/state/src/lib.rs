//! The agent's state, as values and as the files in its run directory: `node.json`, small, which the plugin's STATUS
//! reads, and `verdicts.json`, one verdict a line for each peer. Both are 0600 in a 0700 directory.

pub mod ago;
pub mod control;
pub mod paths;
pub mod release;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use conditions::Condition;
use files::regular;
use files::replace::{Lasting, replace};
use routes::{Key, Target};

/// The default run directory.
pub const RUN_DIR: &str = "/run/podlan";

/// The interval of the agent's heartbeat.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The age from which `node.json` is stale: three missed heartbeats, in seconds.
const STALE_AFTER: u64 = 35;

/// How long an agent that starts may not be ready before that is wrong, in seconds: until its own routes are in the kernel,
/// and from then on, for the look at its files.
const START: [u64; 2] = [30, 4];

/// The maximum size of a file of the agent, in bytes.
const LONGEST: u64 = 256 << 20;

/// `node.json`. Times for people are seconds since 1970; the file's age is measured by the boot clock, which cannot be
/// set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// 1; a reader refuses other versions.
    pub version: u32,
    /// This node's name.
    pub node: String,
    /// The agent's process.
    pub pid: u32,
    pub(crate) updated: u64,
    /// When the agent started, in seconds of `CLOCK_BOOTTIME`; 0 in the state of an agent that does not say so.
    #[serde(default)]
    pub started: u64,
    /// When it was written, in seconds of `CLOCK_BOOTTIME`.
    pub boot_time: u64,
    /// Seconds after `boot_time` at which the state becomes stale.
    pub stale_after: u64,
    /// The first complete snapshot is in force, and this node's own routes are in the kernel.
    pub ready: bool,
    /// Why it is not ready; empty when it is.
    pub reasons: Vec<String>,
    /// This node's own routes have been in the kernel at least once since it started: before that no pod is added.
    #[serde(default)]
    pub routed: bool,
    /// This node's pod CIDRs.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// This node's InternalIPs, by the list of nodes.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The paths of its command line.
    #[serde(default, rename = "told")]
    pub configured_paths: ConfiguredPaths,
    /// Where the list of nodes comes from.
    pub source: SourceState,
    /// IPv4 routes.
    pub v4: RouteCounts,
    /// IPv6 routes.
    pub v6: RouteCounts,
    /// The number of peers' CIDRs by the verdict's word.
    pub verdicts: BTreeMap<String, usize>,
    /// A withdrawal that the guard holds.
    pub held: Option<HeldState>,
    /// Whether egress is masqueraded: `on`, `off`, `failed`, or `unknown` before the first list of nodes.
    #[serde(default)]
    pub masquerade: String,
    /// The number of chains of other programs that drop traffic between pods.
    #[serde(default)]
    pub forward_drops: usize,
    /// The MTUs that pods of this node inherited since it booted, the current one last.
    #[serde(default)]
    pub pod_mtus: Vec<u32>,
    /// The number of pods with an earlier one of these.
    #[serde(default)]
    pub former_mtu_pods: usize,
    /// Whether packets of pods pass to the other nodes; `None` in the state of an agent that does not know of probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<paths::Paths>,
    /// Warnings for the operator, whether the agent is ready or not.
    pub warnings: Vec<String>,
    /// Those of them that one of the conditions says too: people need not read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeated_warnings: Vec<String>,
    /// What is wrong, the worst first; of each kind the first few.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Checks that could not run.
    #[serde(default)]
    pub unknown: Vec<UnknownCheck>,
}

/// A check that could not run. Unknown is not fine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownCheck {
    /// The check's name, as `podlan-node doctor` has it.
    pub check: String,
    /// Why it could not run.
    pub why: String,
}

/// Paths of the agent's command line that the operator's commands need too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfiguredPaths {
    /// `--cni-bin-dir`
    pub cni_bin_dir: Option<PathBuf>,
    /// `--cni-conf-dir`
    pub cni_conf_dir: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
}

/// The source of the nodes and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceState {
    /// The source, as `file PATH` or `kubernetes, …`.
    pub name: String,
    /// When it last yielded a complete snapshot; 0 before the first.
    pub last_sync: u64,
    /// Why it yields none now; "" when it works.
    pub error: String,
}

/// Routes of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteCounts {
    /// Routes that are desired.
    pub desired: usize,
    /// Desired routes that the kernel has.
    pub installed: usize,
    /// Routes that the kernel refuses, or in whose place another route is.
    pub failed: usize,
}

/// A held withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldState {
    /// The number of peers' routes that it would remove.
    pub withdraws: usize,
    /// The number of all peers' routes.
    pub of: usize,
    /// When a list that still says so is applied; seconds since 1970.
    pub until: u64,
}

/// One line of `verdicts.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictLine {
    /// The peer's name.
    pub node: String,
    /// "" for a node without a usable CIDR.
    pub cidr: String,
    /// The verdict in one word.
    pub verdict: Cow<'static, str>,
    /// One word where the verdict is `skipped` or the route is not in the kernel; otherwise "".
    pub reason: Cow<'static, str>,
    /// The verdict as a sentence.
    pub text: String,
    /// The desired route, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Target>,
}

impl VerdictLine {
    /// The route of the verdict, if it has one.
    pub fn route(&self) -> Option<(Key, Target)> {
        let (cidr, wanted) = (self.cidr.parse().ok()?, self.wanted?);
        Some((if wanted == Target::Unreachable { Key::own(cidr) } else { Key::peer(cidr) }, wanted))
    }
}

impl State {
    /// The state of an agent before its first list of nodes.
    pub fn starting(node: &str, source: &str) -> Self {
        let now = Clocks::now();
        Self {
            version: 1,
            node: node.to_owned(),
            pid: std::process::id(),
            updated: now.unix,
            started: now.boot,
            boot_time: now.boot,
            stale_after: STALE_AFTER,
            ready: false,
            reasons: vec!["the first complete list of nodes has not been read yet".to_owned()],
            routed: false,
            pod_cidrs: Vec::new(),
            addresses: Vec::new(),
            configured_paths: ConfiguredPaths::default(),
            source: SourceState { name: source.to_owned(), last_sync: 0, error: String::new() },
            v4: RouteCounts::default(),
            v6: RouteCounts::default(),
            verdicts: BTreeMap::new(),
            held: None,
            masquerade: "unknown".to_owned(),
            forward_drops: 0,
            pod_mtus: Vec::new(),
            former_mtu_pods: 0,
            paths: None,
            warnings: Vec::new(),
            repeated_warnings: Vec::new(),
            conditions: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Whether the agent is not ready because it has just started.
    pub fn is_starting(&self, now: Clocks) -> bool {
        let [unrouted, routed] = START;
        let most = if self.routed { routed } else { unrouted };
        !self.ready && self.started != 0 && now.boot.saturating_sub(self.started) < most
    }

    /// Records that the agent lives at this time.
    pub fn beat(&mut self, now: Clocks) {
        self.updated = now.unix;
        self.boot_time = now.boot;
    }

    /// Whether it is too old now to say anything.
    pub fn is_stale(&self, now: Clocks) -> bool {
        self.boot_time.abs_diff(now.boot) > self.stale_after
    }
}

/// What the clocks show whose times a state holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Seconds since 1970.
    pub unix: u64,
    /// Seconds of `CLOCK_BOOTTIME`: of this boot, suspended time included.
    pub boot: u64,
}

impl Clocks {
    /// Reads them.
    pub fn now() -> Self {
        Self {
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            boot: clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| now.tv_sec().cast_unsigned()),
        }
    }
}

/// The files of a run directory.
#[derive(Clone, Debug)]
pub struct RunDir(pub PathBuf);

impl RunDir {
    /// `node.json`
    pub fn state_file(&self) -> PathBuf {
        self.0.join("node.json")
    }

    /// `verdicts.json`
    pub fn verdicts_file(&self) -> PathBuf {
        self.0.join("verdicts.json")
    }

    /// The nodes as a list, including last good values that the list lacks now.
    pub fn kept_file(&self) -> PathBuf {
        self.0.join("kept.json")
    }

    /// Locked by the agent while it runs: two agents would overwrite each other's routes.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("node.lock")
    }

    /// The socket of the operator's commands.
    pub fn control_socket(&self) -> PathBuf {
        self.0.join("node.sock")
    }

    /// Replaces `node.json`.
    pub fn write_state(&self, state: &State) -> io::Result<()> {
        write(&self.state_file(), state)
    }

    /// Replaces `verdicts.json`.
    pub fn write_verdicts(&self, verdicts: &[VerdictLine]) -> io::Result<()> {
        write(&self.verdicts_file(), verdicts)
    }

    /// Replaces `kept.json`: the nodes as a list in JSON.
    pub fn write_kept(&self, kept: &[u8]) -> io::Result<()> {
        replace(&self.kept_file(), kept, 0o600, Lasting::No)
    }

    /// Reads `node.json`.
    pub fn read_state(&self) -> io::Result<State> {
        read(&self.state_file())
    }

    /// Reads `verdicts.json`.
    pub fn read_verdicts(&self) -> io::Result<Vec<VerdictLine>> {
        read(&self.verdicts_file())
    }
}

fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    replace(path, &bytes, 0o600, Lasting::No)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&regular::read(path, LONGEST)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_speaks_of_the_route_that_it_wants() {
        let hop = Target::Hop { via: [172, 31, 0, 2].into(), link: 2, onlink: false };
        let route = |cidr: &str, wanted| VerdictLine { cidr: cidr.into(), wanted, ..VerdictLine::default() }.route();
        let (own, peer) = ("10.244.1.0/24".parse().unwrap(), "10.244.2.0/24".parse().unwrap());
        assert_eq!(route("10.244.1.0/24", Some(Target::Unreachable)), Some((Key::own(own), Target::Unreachable)));
        assert_eq!(route("10.244.2.0/24", Some(hop)), Some((Key::peer(peer), hop)));
        assert_eq!(route("10.244.2.0/24", None), None);
        assert_eq!(route("", None), None, "a node without a CIDR");
    }
}
