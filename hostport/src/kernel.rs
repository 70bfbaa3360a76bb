//! The table in the kernel: its elements are looked at and changed. Decides nothing.

use nftables::{Element, Nfnetlink};
use nix::errno::Errno;

use crate::Ports;
use crate::conntrack;
use crate::error::Error;
use crate::table::{self, FAMILY, MAPS, NAME, change, table};

/// An element with the name of its map.
pub(crate) type Placed = (&'static str, Element);

/// How often elements are looked at again that another program removed meanwhile.
const TRIES: usize = 3;

/// The table, through a socket of the calling thread's network namespace.
pub(crate) struct Filter {
    socket: Nfnetlink,
}

impl Filter {
    pub(crate) fn open() -> Result<Self, Error> {
        Ok(Self { socket: Nfnetlink::requests()? })
    }

    /// Whether its rules are there.
    pub(crate) fn has_rules(&mut self) -> Result<bool, Error> {
        Ok(nftables::has_rules(&mut self.socket, &table())?)
    }

    /// Makes it right but for its elements; true when there was something to change.
    pub(crate) fn ensure(&mut self) -> Result<bool, Error> {
        Ok(nftables::ensure(&mut self.socket, &table())?)
    }

    /// All elements; none where there is no table.
    pub(crate) fn held(&mut self) -> Result<Vec<Placed>, Error> {
        let mut held = Vec::new();
        for map in MAPS {
            let elements = nftables::elements(&mut self.socket, FAMILY, NAME, map)?;
            held.extend(elements.into_iter().map(|element| (map, element)));
        }
        Ok(held)
    }

    /// Removes elements and adds others, all or none.
    pub(crate) fn change(&mut self, remove: &[Placed], add: &[Placed]) -> Result<(), nftables::Error> {
        let changes = [change(false, remove), change(true, add)].concat();
        nftables::change_elements(&mut self.socket, &table(), &changes)
    }

    /// Removes all elements of the attachment with this key.
    pub(crate) fn withdraw(&mut self, key: &str) -> Result<(), Error> {
        let mut tries = TRIES;
        loop {
            let held = self.held()?;
            let of_key: Vec<Placed> = held.into_iter().filter(|(_, element)| key_of(element) == key).collect();
            tries -= 1;
            match self.change(&of_key, &[]) {
                // Somebody was quicker.
                Err(nftables::Error::Refused { errno: Errno::ENOENT, .. }) if tries > 0 => {}
                done => return Ok(done?),
            }
        }
    }
}

/// The key of the attachment that an element belongs to.
pub(crate) fn key_of(element: &Element) -> &str {
    element.comment.split(' ').next().unwrap_or_default()
}

/// Whether two elements lead the same packets, to wherever.
pub(crate) fn meets(one: &Placed, other: &Placed) -> bool {
    one.0 == other.0 && one.1.key == other.1.key
}

/// Whether two elements do the same, whatever their comments say.
pub(crate) fn equals(one: &Placed, other: &Placed) -> bool {
    meets(one, other) && one.1.value == other.1.value
}

impl Ports {
    /// Takes the host ports of the attachment with this key away: the elements, what connection tracking knows of them, and at
    /// last the record. None is no error, and costs one system call; a table that is gone is no error either.
    ///
    /// # Errors
    /// When the lock or the kernel refuses.
    pub fn release(&self, key: &str) -> Result<bool, Error> {
        if !self.has(key)? {
            return Ok(false);
        }
        let _lock = self.lock()?;
        Filter::open()?.withdraw(key)?;
        // A record that cannot be read goes as well: its elements were found by their comments.
        if let Ok(Some(record)) = self.read(key) {
            conntrack::forget_pod(&record.forwards);
        }
        self.remove(key)?;
        Ok(true)
    }

    /// Removes the table where no record is left; false where there is none, or it is needed.
    ///
    /// # Errors
    /// When the directory cannot be read, or the kernel refuses.
    pub fn clean(&self) -> Result<bool, Error> {
        let all = self.read_all()?;
        if !all.records.is_empty() || !all.unread.is_empty() {
            return Ok(false);
        }
        let mut socket = Nfnetlink::requests()?;
        Ok(nftables::remove(&mut socket, table::FAMILY, table::NAME)?)
    }
}
