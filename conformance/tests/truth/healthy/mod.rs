//! Nodes on which everything works beside another program: no surface says that anything is wrong. To see that the agent has
//! looked, and that the other program hides nothing from it, a fault is made afterwards, found, and taken away.

mod beside;

use std::path::Path;
use std::time::Instant;

use podlan_conformance::lab::{Error, Lab, eventually, skip};

use crate::prove::{has_programs, is_well};
use crate::row::{At, Surface};
use crate::stage::{NETWORK_MANAGER, Options, SOON, Stage};
use crate::told::{brief, by_agent, says};

pub(crate) use beside::all;

/// A node that works.
#[derive(Clone, Copy)]
pub(crate) struct Healthy {
    /// The other program, or setting.
    pub(crate) beside: &'static str,
    /// How it is made.
    pub(crate) made: Made,
    /// How the lab is made.
    pub(crate) options: Options,
    /// Run on the node.
    pub(crate) node: &'static str,
    /// Run on its peer.
    pub(crate) peer: &'static str,
}

/// How much of the other program is there.
#[derive(Clone, Copy)]
pub(crate) enum Made {
    /// The setting itself.
    Real,
    /// The program cannot run in the lab: the rules, links and files that it makes are, as recorded.
    Recorded,
}

impl Made {
    /// For the table.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Real => "itself",
            Self::Recorded => "its recorded rules, links and files",
        }
    }
}

const NETWORKD: &str = "/lib/systemd/systemd-networkd";

/// Drops the pods of the peer, where no rule of another program comes earlier.
const FAULT: &str = "nft add table netdev canary
nft 'add chain netdev canary c { type filter hook egress device \"eth0\" priority -500; }'
nft 'add rule netdev canary c ip daddr 10.244.2.0/24 drop'";
const UNDO: &str = "nft delete table netdev canary";
const KIND: &str = "forward-drop";

/// Proves that nothing is said of a node that works.
pub(crate) fn prove(row: &Healthy) -> Result<(), Error> {
    if !has_programs() || !has_program_of(row) {
        return Ok(());
    }
    let lab = Lab::new(row.options.nodes)?;
    let stage = Stage::start(&lab, &row.options)?;
    is_well(&stage, "before the other program came")?;
    let (begun, logged) = (Instant::now(), stage.log().len());
    stage.script(At::Node, row.node, "")?;
    stage.script(At::Peer, row.peer, "")?;
    stage.all_pass()?;
    is_quiet(&stage)?;
    stage.script(At::Node, FAULT, "")?;
    let names = ["canary".to_owned()];
    eventually(SOON, "a real fault is found beside it", || {
        says(Surface::NodeJson, &stage, KIND, &names).map(|_| is_quiet_but(&stage, &names[0]))?
    })?;
    stage.script(At::Node, UNDO, "")?;
    stage.all_pass()?;
    is_well(&stage, &format!("{:.1} s after the other program came", begun.elapsed().as_secs_f64()))?;
    never_said(&stage.log_after(logged))
}

/// Whether the program is here that the row starts.
fn has_program_of(row: &Healthy) -> bool {
    let manager = std::env::var_os(format!("PODLAN_{NETWORK_MANAGER}"));
    let missing = match () {
        () if row.node.contains("networkd.sh") && !Path::new(NETWORKD).exists() => {
            "systemd-networkd: apt-get install systemd"
        }
        () if row.node.contains("network-manager.sh") && manager.is_none() => "NetworkManager: see scripts/beside",
        () => return true,
    };
    skip(&format!("missing {missing}"));
    false
}

/// Nothing is said at this moment.
fn is_quiet(stage: &Stage<'_>) -> Result<(), Error> {
    let unreadable = |said| Error::Unreadable { from: "podlan, of a node that works,".to_owned(), said };
    let told = by_agent(stage).map_err(unreadable)?;
    match told.is_empty() {
        true => Ok(()),
        false => Err(unreadable(brief(&told))),
    }
}

/// Nothing is said but of the fault, and of the paths that it breaks.
fn is_quiet_but(stage: &Stage<'_>, name: &str) -> Result<(), String> {
    let mut told = by_agent(stage)?;
    told.retain(|one| !one.wrong.contains(name) && !one.wrong.contains("node2"));
    if told.is_empty() { Ok(()) } else { Err(brief(&told)) }
}

/// The log has no condition but of the fault: none appeared between two looks.
fn never_said(log: &str) -> Result<(), Error> {
    let alarms: Vec<&str> = log.lines().filter(|line| line.contains("kind=")).collect();
    let of_fault = |line: &&str| ["canary", "node2"].iter().any(|name| line.contains(name));
    match alarms.iter().find(|line| !of_fault(line)) {
        None => Ok(()),
        Some(line) => {
            Err(Error::Unreadable { from: "the log of a node that works".to_owned(), said: (*line).to_owned() })
        }
    }
}
