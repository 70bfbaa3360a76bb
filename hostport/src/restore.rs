//! The agent: the table is made right from the records, and records of attachments that are provably gone are collected.

use ipam::{Place, Stamp};
use netlink::{Link, Socket};

use crate::Ports;
use crate::error::Error;
use crate::kernel::{Filter, Placed, equals, key_of, meets};
use crate::record::Record;
use crate::table::elements;

/// What a look at the table came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The table, or an element, was missing or another.
    pub changed: bool,
    /// Whose host ports were taken away, for they are gone.
    pub collected: Vec<String>,
    /// What is wrong with records that cannot be read.
    pub unread: Vec<String>,
}

impl Ports {
    /// Makes the table right. Elements of which no record of this directory speaks stay: another `dataDir` has theirs. Without
    /// a record nothing is asked or changed.
    ///
    /// # Errors
    /// When the lock is held longer than the patience, or the kernel refuses.
    pub fn restore(&self) -> Result<Restored, Error> {
        let seen = self.read_all()?;
        if seen.records.is_empty() && seen.unread.is_empty() {
            return Ok(Restored::default());
        }
        let _lock = self.lock()?;
        let all = self.read_all()?;
        let (mut host, now) = (Socket::open()?, Stamp::now()?);
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        for record in all.records {
            if self.is_gone(&mut host, &record, now)? { dead.push(record) } else { living.push(record) }
        }
        let mut filter = Filter::open()?;
        let changed = filter.ensure()?;
        let (held, left_over) = (filter.held()?, filter.left_over()?);
        let mut wanted: Vec<Placed> = living.iter().flat_map(elements).collect();
        let is_of_dead = |element: &Placed| dead.iter().any(|record| record.link() == key_of(&element.1));
        let is_wrong = |held: &Placed| wanted.iter().any(|one| meets(one, held) && !equals(one, held));
        let (remove, stay): (Vec<Placed>, Vec<Placed>) =
            held.into_iter().partition(|held| is_of_dead(held) || is_wrong(held));
        // Of another directory.
        let is_new = |one: &&Placed| !wanted.iter().chain(&stay).any(|ours| meets(ours, one));
        let others = left_over.iter().flatten().filter(|one| !is_of_dead(one)).filter(is_new);
        let others: Vec<Placed> = others.cloned().collect();
        wanted.extend(others);
        wanted.retain(|one| !stay.iter().any(|stays| equals(stays, one)));
        filter.change(&remove, &wanted)?;
        if left_over.is_some() {
            filter.leave_other()?;
        }
        for record in &dead {
            self.remove(&record.link())?;
        }
        Ok(Restored {
            changed: changed || !wanted.is_empty(),
            collected: dead.iter().map(Record::holder).collect(),
            unread: all.unread.iter().map(ToString::to_string).collect(),
        })
    }

    /// Whether an attachment is provably gone: without link and lease. An ADD takes its lease before it records its ports, and a
    /// DEL releases it after them. Where another IPAM leases, another boot takes the lease's place; it is no proof elsewhere, for
    /// a container may be shown another boot id than its node.
    fn is_gone(&self, host: &mut Socket, record: &Record, now: Stamp) -> Result<bool, Error> {
        if Link::index(host, &record.link())?.is_some() {
            return Ok(false);
        }
        if !record.leased {
            return Ok(record.boot != now.boot);
        }
        let Some(data_dir) = self.directory.parent() else { return Ok(false) };
        let place = Place::new(data_dir, record.network.clone());
        Ok(ipam::leases_of(&place, &record.owner).is_ok_and(|leases| leases.is_empty()))
    }
}
