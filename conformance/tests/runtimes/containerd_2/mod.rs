//! The tests of ../containerd again, with the containerd 2 of a newer Debian suite: `scripts/beside` fetches it,
//! PODLAN_CONTAINERD_2 names its directory.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]
#![expect(unreachable_pub, reason = "a test program has no outside")]
#![expect(clippy::duplicate_mod, reason = "the same tests, with the other containerd")]

/// The containerd under test; the module `containerd` has the other one.
const RUNTIME: parts::Runtime = parts::Runtime::Newer;

#[path = "../containerd/client.rs"]
mod client;
#[path = "../containerd/cri.rs"]
mod cri;
#[path = "../containerd/daemon.rs"]
mod daemon;
#[path = "../containerd/deployed.rs"]
mod deployed;
#[path = "../containerd/image.rs"]
pub(crate) mod image;
#[path = "../containerd/parts.rs"]
pub(crate) mod parts;
#[path = "../containerd/pod.rs"]
mod pod;
#[path = "../containerd/rig.rs"]
mod rig;

#[path = "../containerd/adopt.rs"]
mod adopt;
#[path = "../containerd/agent_pod.rs"]
mod agent_pod;
#[path = "../containerd/chained.rs"]
mod chained;
#[path = "../containerd/crowd.rs"]
mod crowd;
#[path = "../containerd/faults.rs"]
mod faults;
#[path = "../containerd/flat.rs"]
mod flat;
#[path = "../containerd/lifecycle.rs"]
mod lifecycle;
#[path = "../containerd/loopback.rs"]
mod loopback;
#[path = "../containerd/ready.rs"]
mod ready;
#[path = "../containerd/sharing.rs"]
mod sharing;
#[path = "../containerd/time.rs"]
mod time;
