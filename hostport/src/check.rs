//! CHECK and doctor: what differs from what ADD left. Changes nothing.

use crate::Ports;
use crate::error::Error;
use crate::forward::Forward;
use crate::kernel::{Filter, Placed, equals};
use crate::record::Record;
use crate::table::{NAME, elements};

impl Ports {
    /// Whether the host ports of all records are in the kernel; `None` where there is no record.
    ///
    /// # Errors
    /// When the records or the kernel cannot be read.
    pub fn are_in_place(&self) -> Result<Option<bool>, Error> {
        let records = self.records()?;
        if records.is_empty() {
            return Ok(None);
        }
        let mut filter = Filter::open()?;
        if !filter.has_rules()? {
            return Ok(Some(false));
        }
        let held = filter.held()?;
        let is_held = |one: &Placed| held.iter().any(|held| equals(one, held));
        Ok(Some(records.iter().flat_map(elements).all(|one| is_held(&one))))
    }

    /// Names each of the attachment's forwards that is not in force; `None` where there is no record of the attachment.
    ///
    /// # Errors
    /// When the record or the kernel cannot be read.
    pub fn differences(&self, key: &str, forwards: &[Forward]) -> Result<Option<Vec<String>>, Error> {
        let Some(record) = self.read(key)? else { return Ok(None) };
        let mut filter = Filter::open()?;
        if !filter.has_rules()? {
            return Ok(Some(vec![format!("host ports: the packet filter table inet {NAME} lacks its rules")]));
        }
        let held = filter.held()?;
        let is_missing = |forward: &&Forward| {
            let of_forward = elements(&Record { forwards: vec![**forward], ..record.clone() });
            !of_forward.iter().all(|one| held.iter().any(|held| equals(one, held)))
        };
        // What another interface of the container had before, that one has.
        let ours = forwards.iter().filter(|forward| record.forwards.contains(forward));
        let said = |forward: &Forward| {
            format!("host port {} {} does not lead to {}", forward.protocol, forward.at, forward.to)
        };
        Ok(Some(ours.filter(is_missing).map(said).collect()))
    }
}
