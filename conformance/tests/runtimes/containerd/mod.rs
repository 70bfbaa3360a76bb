//! podlan under the real containerd and runc, called through the CRI as by kubelet: no root, no registry, no cgroup.
//!
//! ```text
//!   node1  172.31.0.1 fd31::1 ──┬── lan ──┬── node2  172.31.0.2 fd31::2
//!     podlan-node, containerd   │         │     podlan-node, containerd
//!       pods 10.244.1.0/24      │         │       pods 10.244.2.0/24
//!            fd00:10:244:1::/64            │            fd00:10:244:2::/64
//! ```
//!
//! The parts are Debian's (packages containerd, runc, containernetworking-plugins); another containerd 1 is tested by
//! putting its directory first in PATH (1.6 and 1.7 are known to work). The module `containerd_2` has the same tests
//! with a containerd 2. Every pod runs the lab's own program.
//! `podlan-lab enter -- THIS --exact NAME --nocapture` shows a test's output as it runs.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]
#![expect(unreachable_pub, reason = "a test program has no outside")]

/// The containerd under test; the module `containerd_2` has the other one.
const RUNTIME: parts::Runtime = parts::Runtime::OfThisMachine;

mod client;
mod cri;
mod daemon;
mod deployed;
mod image;
mod parts;
mod pod;
mod rig;

mod adopt;
mod agent_pod;
mod chained;
mod crowd;
mod faults;
mod flat;
mod lifecycle;
mod loopback;
mod ready;
mod sharing;
mod time;
