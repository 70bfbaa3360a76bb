//! A plan becomes the kernel's state, and the report says what is now true. Nothing is decided here, and one bad route
//! never stops the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Key;
use super::kernel::{Kernel, Refusal};
use super::plan::{Change, Plan};

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// The changes that are in force.
    pub done: Vec<Change>,
    /// The changes that are not, and why.
    pub refused: Vec<(Change, Trouble)>,
    /// The removals of routes that lead where they should not any more, for the kernel takes nothing in their place.
    pub stale: Vec<Change>,
    /// The kernel holds something under our number that the observation did not show: look again.
    pub surprised: bool,
}

impl Applied {
    /// Adds what became of another plan.
    pub fn add(&mut self, other: Self) {
        let Self { done, refused, stale, surprised } = other;
        self.done.extend(done);
        self.refused.extend(refused);
        self.stale.extend(stale);
        self.surprised |= surprised;
    }
}

impl Trouble {
    /// Another state of the node may let the kernel take the route.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Why a route is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another owner has the destination at our metric; its route is left alone.
    HeldByForeign(String),
    /// The kernel refused it.
    Refused(String),
}

/// What comes before the kernel's own words.
pub const REFUSED: &str = "refused by the kernel: ";

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldByForeign(route) => write!(f, "held by a foreign route: {route}"),
            Self::Refused(why) => write!(f, "{REFUSED}{why}"),
        }
    }
}

/// Applies `plan` in its order.
pub fn apply(kernel: &mut impl Kernel, plan: &Plan) -> Result<Applied, netlink::Error> {
    let mut applied = Applied::default();
    let mut held = Vec::new();
    for (change, verdict) in plan.changes.iter().zip(kernel.change(&plan.changes)?) {
        let refused = match (change, verdict) {
            (_, Ok(())) | (Change::Remove(_), Err(Refusal::Absent)) => {
                applied.done.push(*change);
                continue;
            }
            (_, Err(Refusal::Exists)) => {
                held.push(*change);
                continue;
            }
            (_, Err(Refusal::Absent)) => "no such route".to_owned(),
            (_, Err(Refusal::Unable(why))) => why,
            (Change::Replace(key, _), Err(Refusal::Other(why))) => {
                applied.stale.push(Change::Remove(*key));
                why
            }
            (_, Err(Refusal::Other(why))) => why,
        };
        applied.refused.push((*change, Trouble::Refused(refused)));
    }
    if !held.is_empty() {
        name_holders(kernel, held, &mut applied)?;
    }
    Ok(applied)
}

/// Says who has the places that were taken. A place without a foreign holder is ours already: somebody beat us to it
/// under our own number, and the next look shows what stands there.
fn name_holders(kernel: &mut impl Kernel, held: Vec<Change>, applied: &mut Applied) -> Result<(), netlink::Error> {
    let keys: BTreeSet<Key> = held.iter().map(Change::key).collect();
    let mut holders: BTreeMap<Key, String> = kernel.holders(&keys)?;
    for change in held {
        match holders.remove(&change.key()) {
            Some(route) => applied.refused.push((change, Trouble::HeldByForeign(route))),
            None => applied.surprised = true,
        }
    }
    Ok(())
}
