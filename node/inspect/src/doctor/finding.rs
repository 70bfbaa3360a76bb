//! What a check finds.

use serde::Serialize;

/// The outcome of one check that could run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well, and what that means here.
    Fine(String),
    /// There is nothing to check, and why.
    Moot(String),
    /// Something is wrong.
    Wrong(Vec<Problem>),
}

/// The outcome, or why the check could not run. Unknown is not fine.
pub type Outcome = Result<Finding, String>;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub wrong: String,
    /// Why it matters.
    pub why: String,
    /// What an operator can do about it.
    pub cure: String,
    /// What `--fix` would do about it.
    #[serde(rename = "mend", skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Why `--fix` does not fix it, and the command that does; "" where the cure suffices.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub left: &'static str,
}

/// What `--fix` may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// Have the running agent compare everything again.
    WakeAgent,
}

impl Problem {
    /// A problem that `--fix` does nothing about.
    pub fn new(wrong: impl Into<String>, why: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), why: why.into(), cure: cure.into(), fix: None, left: "" }
    }

    pub(crate) fn left_because(self, left: &'static str) -> Self {
        Self { left, ..self }
    }

    pub(crate) fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }
}

impl Finding {
    /// Fine when there are no problems.
    pub fn of(problems: Vec<Problem>, fine: impl Into<String>) -> Self {
        if problems.is_empty() { Self::Fine(fine.into()) } else { Self::Wrong(problems) }
    }

    pub(crate) fn moot(why: impl Into<String>) -> Self {
        Self::Moot(why.into())
    }
}

/// The first few of many, for a line that people read.
pub(crate) fn some(texts: &[String]) -> String {
    const SHOWN: usize = 4;
    match texts.len().checked_sub(SHOWN) {
        None | Some(0) => texts.join(", "),
        Some(more) => format!("{} and {more} more", texts[..SHOWN].join(", ")),
    }
}
