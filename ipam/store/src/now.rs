//! The moment of an operation: which boot, and how long since its start. Read once at the edge, then a value. The wall clock,
//! which may jump, is not used.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rustix::fs::{Mode, OFlags};

use crate::error::Error;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Of a UUID as text.
const BOOT_ID_LENGTH: usize = 36;

/// The first 64 bits of the kernel's boot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub u64);

impl fmt::Display for BootId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl BootId {
    /// From the kernel's text (a UUID) or ours (16 hex digits).
    pub fn parse(text: &str) -> Option<Self> {
        let mut value = 0u64;
        let mut digits = 0;
        for byte in text.trim().bytes().filter(|byte| *byte != b'-').take(16) {
            value = value << 4 | u64::from(char::from(byte).to_digit(16)?);
            digits += 1;
        }
        (digits == 16).then_some(Self(value))
    }
}

/// A moment that can be compared with others of the same boot, and with no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The boot it belongs to.
    pub boot: BootId,
    /// Milliseconds of `CLOCK_BOOTTIME` (runs on while the machine sleeps).
    pub millis: u64,
}

impl Stamp {
    /// The present moment.
    pub fn now() -> Result<Self, Error> {
        let reading = |source: io::Error| Error::Io { op: "read", path: BOOT_ID.into(), source };
        let mut text = [0; BOOT_ID_LENGTH];
        // One read(2) returns the whole value.
        let opened = rustix::fs::open(BOOT_ID, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(io::Error::from).and_then(|file| File::from(file).read_exact(&mut text)).map_err(reading)?;
        let boot = BootId::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| reading(io::Error::new(io::ErrorKind::InvalidData, "not a boot id")))?;
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|errno| reading(errno.into()))?;
        let millis = u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX);
        Ok(Self { boot, millis })
    }

    /// This moment, or the one after `earlier` where it does not come after it. Clocks are read before a lock is waited for.
    #[must_use]
    pub fn past(self, earlier: Self) -> Self {
        if self.boot == earlier.boot && self.millis <= earlier.millis {
            Self { millis: earlier.millis.saturating_add(1), ..self }
        } else {
            self
        }
    }

    /// How long before `later` this was; `None` when they belong to different boots.
    pub fn age(&self, later: &Self) -> Option<Duration> {
        (self.boot == later.boot).then(|| Duration::from_millis(later.millis.saturating_sub(self.millis)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_boot_id_reads_back_from_our_text() {
        let id = BootId::parse("6f3c2f4e-0d2b-4c5e-9f3b-3a7f2f9e1c11\n").unwrap();
        assert_eq!(id.to_string(), "6f3c2f4e0d2b4c5e");
        assert_eq!(BootId::parse(&id.to_string()), Some(id));
        assert_eq!(BootId::parse("6f3c"), None);
    }

    #[test]
    fn a_stamp_is_moved_past_one_of_its_own_boot_only() {
        let at = |boot, millis| Stamp { boot: BootId(boot), millis };
        for (stamp, earlier, moved) in
            [(at(1, 5), at(1, 4), 5), (at(1, 5), at(1, 5), 6), (at(1, 5), at(1, 9), 10), (at(2, 5), at(1, 9), 5)]
        {
            assert_eq!(stamp.past(earlier), Stamp { millis: moved, ..stamp });
        }
    }

    #[test]
    fn stamps_of_different_boots_have_no_age() {
        let early = Stamp { boot: BootId(1), millis: 10 };
        assert_eq!(early.age(&Stamp { boot: BootId(1), millis: 30 }), Some(Duration::from_millis(20)));
        assert_eq!(early.age(&Stamp { boot: BootId(2), millis: 30 }), None);
    }
}
