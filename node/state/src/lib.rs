//! What the agent says of itself, as values and as the files in its run directory: `node.json`, small, which the
//! plugin's
//! STATUS reads, and `verdicts.json`, one line of judgement per peer, for people. Both are 0600 in a 0700 directory.

pub mod control;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use files::regular;
use files::replace::{Lasting, replace};
use routes::{Key, Target};

/// The default run directory.
pub const RUN_DIR: &str = "/run/podlan";

/// How often the agent says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How old `node.json` may be before the agent must be taken for dead: three missed heartbeats, in seconds.
const STALE_AFTER: u64 = 35;

/// The most bytes of a file of the agent's.
const LONGEST: u64 = 256 << 20;

/// `node.json`. Times are seconds since 1970, for people; the age of it all goes by the boot clock, which nobody sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// 1; a reader refuses what it does not know.
    pub version: u32,
    /// This node's name.
    pub node: String,
    /// The agent's process.
    pub pid: u32,
    pub(crate) updated: u64,
    /// When it was written, in seconds of `CLOCK_BOOTTIME`.
    pub boot_time: u64,
    /// Seconds after `boot_time` from which on this says nothing any more.
    pub stale_after: u64,
    /// The first whole snapshot is in force, and so are this node's own routes.
    pub ready: bool,
    /// Why it is not ready; empty when it is.
    pub reasons: Vec<String>,
    /// This node's own routes have been in since it started, whatever became of them: before that no pod is added.
    #[serde(default)]
    pub routed: bool,
    /// This node's pod CIDRs.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// This node's InternalIPs, by the list of nodes.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Where it was told that things lie.
    #[serde(default, rename = "told")]
    pub configured_paths: ConfiguredPaths,
    /// Where the list of nodes comes from.
    pub source: SourceState,
    /// IPv4 routes.
    pub v4: RouteCounts,
    /// IPv6 routes.
    pub v6: RouteCounts,
    /// How many peers' CIDRs have each verdict, by its word.
    pub verdicts: BTreeMap<String, usize>,
    /// A withdrawal that the guard holds.
    pub held: Option<HeldState>,
    /// Whether egress is masqueraded: `on`, `off`, `failed`, or `unknown` before the first list of nodes.
    #[serde(default)]
    pub masquerade: String,
    /// How many chains of others drop traffic between pods.
    #[serde(default)]
    pub forward_drops: usize,
    /// The MTUs that pods of this node inherited since it booted, the present one last.
    #[serde(default)]
    pub pod_mtus: Vec<u32>,
    /// How many pods keep a former one of these.
    #[serde(default)]
    pub former_mtu_pods: usize,
    /// What an operator should know, ready or not.
    pub warnings: Vec<String>,
}

/// What the agent was told on its command line of things that the operator's commands look at too.
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

/// Where the nodes come from and how that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceState {
    /// The source, as `file PATH` or `kubernetes, …`.
    pub name: String,
    /// When it last yielded a whole snapshot; 0 before the first.
    pub last_sync: u64,
    /// Why it yields none now; "" when it does.
    pub error: String,
}

/// Routes of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteCounts {
    /// That there should be.
    pub desired: usize,
    /// That the kernel holds as they should be.
    pub installed: usize,
    /// That the kernel refuses, or has no place for.
    pub failed: usize,
}

/// A held withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldState {
    /// How many peers' routes would go.
    pub withdraws: usize,
    /// Of how many.
    pub of: usize,
    /// When a list that still says so is believed; seconds since 1970.
    pub until: u64,
}

/// One line of `verdicts.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictLine {
    /// The peer's name.
    pub node: String,
    /// "" for a node of which no CIDR can be used.
    pub cidr: String,
    /// The verdict in one word.
    pub verdict: String,
    /// One word where the verdict is `skipped` or the route is not in; otherwise "".
    pub reason: String,
    /// The verdict as a sentence.
    pub text: String,
    /// The route that there should be, if there should be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Target>,
}

impl VerdictLine {
    /// The route that it speaks of, if it speaks of one.
    pub fn route(&self) -> Option<(Key, Target)> {
        let (cidr, wanted) = (self.cidr.parse().ok()?, self.wanted?);
        Some((if wanted == Target::Unreachable { Key::own(cidr) } else { Key::peer(cidr) }, wanted))
    }
}

impl State {
    /// An agent that knows nothing yet.
    pub fn starting(node: &str, source: &str) -> Self {
        let now = Clocks::now();
        Self {
            version: 1,
            node: node.to_owned(),
            pid: std::process::id(),
            updated: now.unix,
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
            warnings: Vec::new(),
        }
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

    /// What the nodes have, the last good of what the list lacks now included, as a list of nodes.
    pub fn kept_file(&self) -> PathBuf {
        self.0.join("kept.json")
    }

    /// Held by the agent while it runs: two agents would fight over the routes.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("node.lock")
    }

    /// Where the agent takes an operator's commands.
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

    /// What the nodes have, as a list in JSON.
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
