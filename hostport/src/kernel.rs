//! The table in the kernel: its elements are looked at and changed. Decides nothing.

use nftables::{Element, Nfnetlink, Shape, TableFamily};
use nix::errno::Errno;

use crate::Ports;
use crate::conntrack;
use crate::error::Error;
use crate::table::{NAME, change, table};

/// An element with the name of its map.
pub(crate) type Placed = (&'static str, Element);

/// How often elements are looked at again that another program removed meanwhile.
const TRIES: usize = 3;

/// The table, through a socket of the calling thread's network namespace.
pub(crate) struct Filter {
    socket: Nfnetlink,
    /// How the kernel has it.
    shape: Shape,
}

impl Filter {
    pub(crate) fn open() -> Result<Self, Error> {
        Ok(Self { socket: Nfnetlink::requests()?, shape: Shape::Whole })
    }

    /// Whether its rules are there, in either shape. One question where they are in one table.
    pub(crate) fn has_rules(&mut self) -> Result<bool, Error> {
        for shape in Shape::BOTH {
            let mut all = true;
            for one in shape.of(&table()) {
                all = all && nftables::has_rules(&mut self.socket, &one)?;
            }
            if all {
                self.shape = shape;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes it right but for its elements, in the shape that it has, or else in one that the kernel takes; true when there was
    /// something to change.
    pub(crate) fn ensure(&mut self) -> Result<bool, Error> {
        let (changed, shape) = nftables::ensure_in(&mut self.socket, &table(), self.shape)?;
        self.shape = shape;
        Ok(changed)
    }

    /// The elements of the table in the shape that it has no longer; `None` where nothing is left of that.
    pub(crate) fn left_over(&mut self) -> Result<Option<Vec<Placed>>, Error> {
        let other = self.shape.other();
        let tables = nftables::tables(&mut self.socket)?;
        let is_there = |family: &TableFamily| tables.iter().any(|(of, name)| *of == *family as u8 && name == NAME);
        if other.families().iter().any(is_there) { self.held_in(other).map(Some) } else { Ok(None) }
    }

    /// Removes what is left of the table in the shape that it has no longer.
    pub(crate) fn leave_other(&mut self) -> Result<(), Error> {
        Ok(nftables::leave(&mut self.socket, NAME, self.shape.other()).map(drop)?)
    }

    /// All elements; none where there is no table.
    pub(crate) fn held(&mut self) -> Result<Vec<Placed>, Error> {
        self.held_in(self.shape)
    }

    fn held_in(&mut self, shape: Shape) -> Result<Vec<Placed>, Error> {
        let mut held = Vec::new();
        for one in shape.of(&table()) {
            for map in &one.maps {
                let elements = nftables::elements(&mut self.socket, one.family, NAME, map.name)?;
                held.extend(elements.into_iter().map(|element| (map.name, element)));
            }
        }
        Ok(held)
    }

    /// Removes elements and adds others, all or none.
    pub(crate) fn change(&mut self, remove: &[Placed], add: &[Placed]) -> Result<(), nftables::Error> {
        let changes = [change(false, remove), change(true, add)].concat();
        nftables::change_elements(&mut self.socket, &self.shape.of(&table()), &changes)
    }

    /// Removes all elements of the attachment with this key: those of one table, or where it has none, of two.
    pub(crate) fn withdraw(&mut self, key: &str) -> Result<(), Error> {
        for shape in Shape::BOTH {
            self.shape = shape;
            if self.withdraw_here(key)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The same in the shape that the table has; false where there were none.
    fn withdraw_here(&mut self, key: &str) -> Result<bool, Error> {
        let mut tries = TRIES;
        loop {
            let held = self.held()?;
            let of_key: Vec<Placed> = held.into_iter().filter(|(_, element)| key_of(element) == key).collect();
            tries -= 1;
            match self.change(&of_key, &[]) {
                // Somebody was quicker.
                Err(nftables::Error::Refused { errno: Errno::ENOENT, .. }) if tries > 0 => {}
                done => return Ok(done.map(|()| !of_key.is_empty())?),
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

    /// Removes the table where no record is left; the families of the tables that were there. None where it is needed.
    ///
    /// # Errors
    /// When the directory cannot be read, or the kernel refuses.
    pub fn clean(&self) -> Result<Vec<TableFamily>, Error> {
        let all = self.read_all()?;
        let mut removed = Vec::new();
        if all.records.is_empty()
            && all.unread.is_empty()
            && let Some(mut socket) = Nfnetlink::if_any()?
        {
            for shape in Shape::BOTH {
                removed.extend(nftables::leave(&mut socket, NAME, shape)?);
            }
        }
        Ok(removed)
    }
}
