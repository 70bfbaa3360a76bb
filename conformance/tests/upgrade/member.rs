//! A node of a cluster whose agent is replaced as its DaemonSet replaces it: SIGTERM, its end, then the next one, with the
//! arguments of that build's own manifest.

use std::path::Path;
use std::time::Duration;

use podlan_conformance::lab::{Error, Node, Running, eventually};

use crate::build::{Build, SOON};
use crate::runtime::{BIN, CONF, chain, prepare};

/// Both builds, and what sets the earlier one's manifest apart: it chains portmap where that is installed.
pub(crate) struct Builds {
    pub(crate) old: Build,
    pub(crate) new: Build,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Old,
    New,
}

/// The node, and the agent that runs on it.
pub(crate) struct Member<'a> {
    pub(crate) node: &'a Node,
    builds: &'a Builds,
    agent: Option<Running>,
}

impl Builds {
    pub(crate) fn of(&self, age: Age) -> &Build {
        match age {
            Age::Old => &self.old,
            Age::New => &self.new,
        }
    }
}

impl<'a> Member<'a> {
    /// A node with the earlier agent, and with portmap.
    pub(crate) fn new(node: &'a Node, builds: &'a Builds, portmap: &Path) -> Result<Self, Error> {
        prepare(node, portmap)?;
        let mut member = Self { node, builds, agent: None };
        member.becomes(Age::Old)?;
        Ok(member)
    }

    /// Stops its agent, if it has one.
    pub(crate) fn stops(&mut self) -> Result<(), Error> {
        // The manifest's grace period, after which kubelet kills.
        self.agent.take().map_or(Ok(()), |agent| agent.stop(Duration::from_secs(5)).map(drop))
    }

    /// Replaces its agent by that of a build, and waits until that has written its own list.
    pub(crate) fn becomes(&mut self, age: Age) -> Result<(), Error> {
        self.stops()?;
        let build = self.builds.of(age);
        let of_manifest: &[&str] = match age {
            Age::Old => &["--chain-if-installed=portmap"],
            Age::New => &[],
        };
        let arguments = [&["--cni-bin-dir", BIN, "--cni-conf-dir", CONF, "--masquerade"], of_manifest].concat();
        let agent = build.agent(self.node, &arguments)?;
        build.is_ready(self.node, &agent)?;
        let expected: &[&str] = if age == Age::Old { &["podlan", "portmap"] } else { &["podlan"] };
        eventually(SOON, &format!("the list of {} is that of the {age:?} agent", self.node.name()), || {
            let chain = chain(self.node);
            if chain == expected { Ok(()) } else { Err(format!("{chain:?}\n{}", agent.stderr())) }
        })?;
        self.agent = Some(agent);
        Ok(())
    }
}
