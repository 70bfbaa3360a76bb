//! What an attachment asks for: one address of each range set, or that very address.
//! Pure: everything that can be refused without looking at the store is refused here.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::Error;
use crate::range::{Range, RangeSet};

/// Most addresses for one attachment: as many fit one commit.
pub const MOST_SETS: usize = 16;

/// What to do when some sets are exhausted, key `ipam.require`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Require {
    /// `"both"`: an address of every set, or none.
    #[default]
    Both,
    /// `"prefer"`: an address of every set that has one; an error only when no set has.
    Prefer,
}

/// A valid request for addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub(crate) asked: Vec<Asked>,
    pub(crate) cooldown: Duration,
    pub(crate) require: Require,
}

/// One set, and the address that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) set: RangeSet,
    pub(crate) address: Option<IpAddr>,
}

impl Want {
    /// Each requested address goes to the first set that holds it and has no other; every one must find its set.
    pub fn new(sets: &[RangeSet], requested: &[IpAddr], cooldown: Duration, require: Require) -> Result<Self, Error> {
        if sets.len() > MOST_SETS {
            return Err(Error::TooManySets { sets: sets.len(), most: MOST_SETS });
        }
        let mut left = requested.to_vec();
        let mut asked = Vec::with_capacity(sets.len());
        for set in sets {
            let position = left.iter().position(|address| set.range_of(*address).is_some());
            let address = position.map(|position| left.remove(position));
            for range in set.ranges() {
                match address {
                    Some(address) if range.gateway() == Some(address) => {
                        return Err(Error::RequestedGateway { address });
                    }
                    Some(address) if range.contains(address) && range.reserves(address) => {
                        return Err(Error::RequestedTaken { address, set: set.to_string() });
                    }
                    _ => {}
                }
            }
            asked.push(Asked { set: set.clone(), address });
        }
        if left.is_empty() {
            Ok(Self { asked, cooldown, require })
        } else {
            Err(Error::RequestedUnplaced { addresses: left })
        }
    }

    /// All ranges, set after set.
    pub fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.asked.iter().flat_map(|asked| asked.set.ranges())
    }

    /// How many addresses the store of these sets may come to hold.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.ranges().fold(0, |sum: u64, range| sum.saturating_add(range.capacity()))
    }
}
