//! What a check finds.

use std::borrow::Borrow;

use conditions::Condition;

/// The outcome of one check that could run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well, and what that means here.
    Fine(String),
    /// All is well as far as the rights of this process let it look.
    Partly {
        /// What is well.
        fine: String,
        /// What was not looked at, why, and what to do so that it is.
        unknown: String,
    },
    /// There is nothing to check, and why.
    Moot(String),
    /// Something is wrong.
    Wrong(Vec<Condition>),
}

/// The outcome, or why the check could not run. Unknown is not fine.
pub type Outcome = Result<Finding, String>;

impl Finding {
    /// Fine when there are no problems.
    pub fn of(problems: Vec<Condition>, fine: impl Into<String>) -> Self {
        if problems.is_empty() { Self::Fine(fine.into()) } else { Self::Wrong(problems) }
    }

    pub(crate) fn moot(why: impl Into<String>) -> Self {
        Self::Moot(why.into())
    }
}

/// The first few of many, for a line that people read.
pub(crate) fn some<T: Borrow<str>>(texts: &[T]) -> String {
    const SHOWN: usize = 4;
    match texts.len().checked_sub(SHOWN) {
        None | Some(0) => texts.join(", "),
        Some(more) => format!("{} and {more} more", texts[..SHOWN].join(", ")),
    }
}
