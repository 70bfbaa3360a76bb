//! ADD: the attachment gets its host ports, unless another has one of them.

use ipam::{Liveness, NoLinks, Presence};
use netlink::{Link, Socket};
use nix::errno::Errno;

use crate::Ports;
use crate::conntrack;
use crate::error::Error;
use crate::forward::Forward;
use crate::kernel::{Filter, Placed, equals, key_of, meets};
use crate::record::Record;
use crate::table::elements;

/// What is known of the attachment that holds a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// It lives.
    Alive,
    /// It has no link: an ADD of it is under way, or a DEL.
    Passing,
    /// Its link and its network namespace are provably gone.
    Dead,
}

impl Ports {
    /// Records the forwards and puts them into the kernel. What an attachment had that is dead by now makes room; so does what
    /// this attachment had before. A port that another interface of the same container has already is left to that one.
    ///
    /// # Errors
    /// [`Error::Taken`] and [`Error::Passing`] name who has a port. After any other error [`Ports::release`] removes what was
    /// done.
    pub fn claim(&self, host: &mut Socket, mut record: Record) -> Result<(), Error> {
        let key = record.link();
        self.prepare()?;
        let lock = self.lock()?;
        let others: Vec<Record> = self.read_all()?.records;
        let had = others.iter().any(|other| other.link() == key);
        let (mut dead, mut others): (Vec<String>, Vec<Record>) =
            (Vec::new(), others.into_iter().filter(|other| other.link() != key).collect());
        for other in &others {
            let Some(forward) = overlap(&record, other) else { continue };
            if other.owner.container_id == record.owner.container_id {
                record.forwards.retain(|ours| !other.forwards.iter().any(|theirs| ours.overlaps(theirs)));
                continue;
            }
            let holder = other.holder();
            match judge(host, other, &record)? {
                Holder::Alive => return Err(Error::Taken { forward, holder }),
                Holder::Passing => return Err(Error::Passing { forward, holder }),
                Holder::Dead => dead.push(other.link()),
            }
        }
        others.retain(|other| !dead.contains(&other.link()));
        self.write(&record)?;
        put(&record, &others, &dead, had)?;
        dead.iter().try_for_each(|key| self.remove(key))?;
        drop(lock);
        conntrack::forget_node(host, &record.forwards);
        Ok(())
    }
}

/// The first forward of `record` that `other` has already.
fn overlap(record: &Record, other: &Record) -> Option<Forward> {
    record.forwards.iter().find(|ours| other.forwards.iter().any(|theirs| ours.overlaps(theirs))).copied()
}

fn judge(host: &Socket, other: &Record, record: &Record) -> Result<Holder, Error> {
    if Link::index(host, &other.link())?.is_some() {
        return Ok(Holder::Alive);
    }
    if other.boot != record.boot {
        return Ok(Holder::Dead);
    }
    Ok(match NoLinks.netns(&other.proof, true) {
        Presence::Gone => Holder::Dead,
        Presence::Present | Presence::Unknown => Holder::Passing,
    })
}

/// Puts the elements into the kernel; the whole table with those of `others` where its rules are missing.
fn put(record: &Record, others: &[Record], dead: &[String], had: bool) -> Result<(), Error> {
    let mut filter = Filter::open()?;
    let mut wanted = elements(record);
    if filter.has_rules()? {
        if dead.is_empty() && !had {
            match filter.change(&[], &wanted) {
                Err(nftables::Error::Refused { errno: Errno::EEXIST | Errno::EBUSY | Errno::ENOENT, .. }) => {}
                done => return Ok(done?),
            }
        }
    } else {
        wanted.extend(others.iter().flat_map(elements));
    }
    filter.ensure()?;
    let held = filter.held()?;
    let key = record.link();
    let goes = |element: &Placed| {
        let of = key_of(&element.1);
        dead.iter().any(|dead| dead == of) || of == key && !wanted.iter().any(|wanted| equals(wanted, element))
    };
    let (remove, stay): (Vec<Placed>, Vec<Placed>) = held.into_iter().partition(goes);
    if let Some((forward, holder)) = foreign(record, &stay) {
        return Err(Error::Taken { forward, holder });
    }
    wanted.retain(|wanted| !stay.iter().any(|stays| meets(stays, wanted)));
    Ok(filter.change(&remove, &wanted)?)
}

/// An element in the way of the record that no record of this directory speaks of: of a network with another `dataDir`.
fn foreign(record: &Record, held: &[Placed]) -> Option<(Forward, String)> {
    let ours = elements(record);
    let taken = held.iter().find(|held| ours.iter().any(|one| meets(one, held) && !equals(one, held)))?;
    let of_key = |forward: &&Forward| {
        elements(&Record { forwards: vec![**forward], ..record.clone() }).iter().any(|one| meets(one, taken))
    };
    let forward = record.forwards.iter().find(of_key)?;
    Some((*forward, format!("\"{}\", of a network with another dataDir", taken.1.comment)))
}
