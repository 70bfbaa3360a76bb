//! What is wrong on a node, as values. Each condition is of one [`Kind`] of the registry; `status`, `doctor`, `trace`, the log,
//! the metrics and `node.json` render conditions, and nothing else, when they report something wrong. Pure.

mod kind;

use serde::{Deserialize, Serialize};

pub use kind::{Kind, Severity};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its kind.
    pub kind: Kind,
    /// What it is about: the name of a peer, link, chain, file, ...; "" for the node as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// When the agent saw it first, in seconds since 1970; 0 where that is unknown.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub since: u64,
    /// What is wrong, in one sentence that names the cause: the rule, table, address, file or process.
    pub wrong: String,
    /// Why it matters.
    pub why: String,
    /// What an operator can do about it.
    pub cure: String,
    /// The shell command that cures it, run as root of the node; `None` where a person must decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What `doctor --fix` would do about it.
    #[serde(default, rename = "mend", skip_serializing_if = "Option::is_none", deserialize_with = "known")]
    pub fix: Option<Fix>,
    /// Why `doctor --fix` does not fix it, and the command that does; "" where the cure suffices.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left: String,
}

/// The subject of the condition that counts those of a kind that are too many to be listed: those listed are a sample.
pub const OTHERS: &str = "others";

/// What `doctor --fix` may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Switch IPv4 forwarding on.
    ForwardV4,
    /// Switch IPv6 forwarding on, unless the node would lose an address or route by it.
    ForwardV6,
    /// Take back leases whose owners are provably gone.
    TakeBackLeases,
    /// Give pods' links the MTU that the node's pods inherit.
    PodMtu,
    /// Set pods' host links up and put the routes to pods back.
    PodLinks,
    /// Have the running agent compare everything again.
    WakeAgent,
}

impl Condition {
    /// A condition with its kind's severity, reason and cure.
    pub fn new(kind: Kind, subject: impl Into<String>, wrong: impl Into<String>) -> Self {
        Self {
            kind,
            subject: subject.into(),
            severity: kind.severity(),
            since: 0,
            wrong: wrong.into(),
            why: kind.why().to_owned(),
            cure: kind.cure().to_owned(),
            command: None,
            fix: None,
            left: String::new(),
        }
    }

    /// Says more exactly why it matters.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// A command cures it.
    #[must_use]
    pub fn cured_by(self, command: impl Into<String>) -> Self {
        let command = command.into();
        Self { cure: command.clone(), command: Some(command), ..self }
    }

    /// This command cures it; the cure stays as it is, because it says more than the command.
    #[must_use]
    pub fn by_command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    /// A person must decide, and what.
    #[must_use]
    pub fn decided_by_a_person(self, what: impl Into<String>) -> Self {
        Self { cure: what.into(), command: None, ..self }
    }

    /// `doctor --fix` cures it.
    #[must_use]
    pub fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }

    /// `doctor --fix` does not cure it, for this reason.
    #[must_use]
    pub fn left_because(self, left: impl Into<String>) -> Self {
        Self { left: left.into(), ..self }
    }

    /// Whether both are of one thing: its wording may change while it lasts.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.kind, &self.subject) == (other.kind, &other.subject)
    }
}

/// A fix of a newer release is none of this one.
fn known<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Fix>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read {
        Known(Fix),
        Newer(serde::de::IgnoredAny),
    }
    Ok(match Option::deserialize(from)? {
        Some(Read::Known(fix)) => Some(fix),
        Some(Read::Newer(_)) | None => None,
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_unknown(since: &u64) -> bool {
    *since == 0
}
