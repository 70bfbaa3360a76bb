//! The parts of the benchmark, one file each.

mod agent;
mod calls;
mod crowd;
mod datapath;
mod first_packets;
mod installed;
mod ipam;
mod pods;
mod runtime;
mod sizes;

use std::fmt;

use clap::ValueEnum;

use crate::Failure;
use crate::figures::Figures;
use crate::tools::Tools;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// ADD and DEL of one pod, with none, 250 and 2,000 others on the node.
    Pods,
    /// ADD and DEL as default installs do them: whole lists of plugins, called by libcni.
    Installed,
    /// A hundred and five hundred ADDs at once; and, of twenty beside other links, the first packets that are lost.
    Crowd,
    /// System calls, netlink requests, page faults and instructions of an ADD and a DEL.
    Calls,
    /// The lease alone, up to a million of them.
    Ipam,
    /// The node agent: routes from nothing, a change, healing, memory.
    Agent,
    /// Throughput and latency between pods.
    Datapath,
    /// The network's share of a sandbox of containerd.
    Runtime,
    /// The sizes of the programs.
    Sizes,
}

impl Part {
    /// Measures it.
    pub(crate) fn run(self, tools: &Tools, quick: bool, figures: &mut Figures) -> Result<(), Failure> {
        match self {
            Self::Pods => pods::run(tools, quick, figures),
            Self::Installed => installed::run(tools, quick, figures),
            Self::Crowd => crowd::run(tools, quick, figures),
            Self::Calls => calls::run(tools, figures),
            Self::Ipam => ipam::run(tools, quick, figures),
            Self::Agent => agent::run(quick, figures),
            Self::Datapath => datapath::run(tools, quick, figures),
            Self::Runtime => runtime::run(tools, figures),
            Self::Sizes => sizes::run(tools, figures),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// The order of the contenders in a round: another one each time, so that none always follows the same one.
fn order(round: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(round % count);
    if round / count % 2 == 1 {
        order.reverse();
    }
    order
}
