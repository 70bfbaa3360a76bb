//! A row of the table: how a node is broken, and what must be said of it.

use std::time::Duration;

use crate::stage::{Options, Way};

/// What has an event of the kernel is said within this time of it.
pub(crate) const EVENT: Duration = Duration::from_secs(5);

/// A node broken in one way.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// What is broken, for the table.
    pub(crate) broken: &'static str,
    /// How the lab is made.
    pub(crate) options: Options,
    /// Makes it.
    pub(crate) fault: Fault,
    /// The kind of the condition that names the cause; that the agent would report if it could not put back what is broken.
    pub(crate) kind: &'static str,
    /// What the condition names; `$NAME` is a variable of the lab (see [`crate::stage::Stage::variables`]), and `$ID` the
    /// last line that the fault's script printed.
    pub(crate) names: &'static [&'static str],
    /// The ways between pods that do not carry packets, or not with the sender's address.
    pub(crate) harmed: &'static [Way],
    /// Within this time it is said.
    pub(crate) within: Duration,
    /// Where it cannot be said.
    pub(crate) not_by: &'static [Surface],
    /// How it ends.
    pub(crate) cure: Cure,
}

/// A script that breaks something, and the one that undoes it.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) make: &'static str,
    /// Run after a cure that is a person's; "" where the fault ends by the cure.
    pub(crate) undo: &'static str,
}

/// Where a script runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The node that is asked.
    Node,
    /// Its peer.
    Peer,
    /// The network between the nodes.
    Lan,
    /// The pod `web` of the node.
    Pod,
}

/// What reports conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// `/run/podlan/node.json`
    NodeJson,
    /// `podlan-node status`
    Status,
    /// `podlan-node doctor`
    Doctor,
    /// `/metrics`
    Metrics,
    /// The agent's log.
    Log,
    /// An alert of deploy/prometheus.
    Alert,
}

impl Surface {
    pub(crate) const ALL: [Self; 6] =
        [Self::NodeJson, Self::Status, Self::Doctor, Self::Metrics, Self::Log, Self::Alert];

    /// Its column of the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NodeJson => "node.json",
            Self::Status => "status",
            Self::Doctor => "doctor",
            Self::Metrics => "metrics",
            Self::Log => "log",
            Self::Alert => "alert",
        }
    }
}

/// How a row ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// The condition's command, run as printed.
    Command,
    /// A person decides: there is no command, and a sentence says what.
    Person,
    /// The agent puts it back by itself and logs it: no condition needs to be seen.
    Agent,
}

impl Fault {
    pub(crate) const fn at(at: At, make: &'static str, undo: &'static str) -> Self {
        Self { at, make, undo }
    }

    pub(crate) const fn on_node(make: &'static str, undo: &'static str) -> Self {
        Self::at(At::Node, make, undo)
    }
}

impl Row {
    /// A base of rows: every field that most of them share.
    pub(crate) const PLAIN: Self = Self {
        broken: "",
        options: Options::PLAIN,
        fault: Fault::on_node("", ""),
        kind: "",
        names: &[],
        harmed: &[],
        within: EVENT,
        not_by: &[],
        cure: Cure::Person,
    };
}

/// Rows by name: each becomes a test, and a line of the table.
macro_rules! rows {
    ($($name:ident: $row:expr;)*) => {
        pub(crate) fn all() -> Vec<(&'static str, $crate::row::Row)> {
            vec![$((stringify!($name), $row)),*]
        }

        $(
            #[test]
            fn $name() {
                podlan_conformance::lab::within(|| $crate::prove::prove(stringify!($name), &$row));
            }
        )*
    };
}
