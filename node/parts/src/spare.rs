//! Descriptors that are kept for the day on which there are none: with one given up, one client more is accepted, so that
//! health and an operator are answered while something has used up all others.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// One descriptor in reserve.
#[derive(Debug)]
pub struct Spare(Option<OwnedFd>);

impl Default for Spare {
    /// Taken early, and moved down later: a limit that is lowered ends the high numbers first.
    fn default() -> Self {
        let mut spare = Self(None);
        spare.refill();
        spare
    }
}

impl Spare {
    /// Gives the descriptor up where `error` says that there are no more; false when that does not help.
    pub fn give_up(&mut self, error: &io::Error) -> bool {
        let is_out = [Errno::EMFILE, Errno::ENFILE].iter().any(|errno| error.raw_os_error() == Some(*errno as i32));
        is_out && self.0.take().is_some()
    }

    /// Takes the lowest one that is free, if there is one.
    pub fn refill(&mut self) {
        let lowest = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok();
        let held = self.0.take();
        self.0 = lowest.into_iter().chain(held).min_by_key(AsRawFd::as_raw_fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests beside it open and close files too: once of many times is proof.
    #[test]
    fn it_moves_down_to_the_lowest_number_that_is_free() {
        let null = || open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let moves_down = |_| {
            let low = null();
            let number = low.as_raw_fd();
            let mut spare = Spare::default();
            let is_at = |spare: &Spare, number| spare.0.as_ref().is_some_and(|held| held.as_raw_fd() == number);
            drop(low);
            let was_above = !is_at(&spare, number);
            spare.refill();
            let moved = is_at(&spare, number);
            let _next = null();
            spare.refill();
            was_above && moved && is_at(&spare, number)
        };
        assert!((0..100).any(moves_down));
    }

    #[test]
    fn it_is_given_up_once_and_only_where_that_helps() {
        let mut spare = Spare::default();
        assert!(!spare.give_up(&Errno::ECONNABORTED.into()) && spare.0.is_some());
        assert!(spare.give_up(&Errno::EMFILE.into()) && spare.0.is_none());
        assert!(!spare.give_up(&Errno::EMFILE.into()), "there is nothing left to give up");
        spare.refill();
        assert!(spare.give_up(&Errno::ENFILE.into()));
    }
}
