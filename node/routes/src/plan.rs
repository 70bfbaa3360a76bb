//! The difference between what should be and what is, as a value. Adds and replacements come before removals, so that
//! at no instant a good route is missing.

use super::{Key, Routes, Target};

/// What turns the observed routes into the desired ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are applied: additions and replacements first.
    pub changes: Vec<Change>,
}

/// One step of a plan: one message to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a route where the observation showed none of ours.
    Add(Key, Target),
    /// Puts a route in the place of one that was observed as ours.
    Replace(Key, Target),
    /// Removes one that was observed as ours.
    Remove(Key),
}

impl Change {
    /// The key of the route that it changes.
    pub fn key(&self) -> Key {
        match self {
            Self::Add(key, _) | Self::Replace(key, _) | Self::Remove(key) => *key,
        }
    }
}

/// The plan from `observed` to `desired`.
pub fn plan(desired: &Routes, observed: &Routes) -> Plan {
    let mut changes = Vec::new();
    for (key, target) in desired {
        match observed.get(key) {
            None => changes.push(Change::Add(*key, *target)),
            Some(held) if held != target => changes.push(Change::Replace(*key, *target)),
            Some(_) => {}
        }
    }
    changes.extend(observed.keys().filter(|key| !desired.contains_key(key)).map(|key| Change::Remove(*key)));
    Plan { changes }
}

#[cfg(test)]
mod tests;
