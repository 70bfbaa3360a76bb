//! Descriptors that are kept for the day on which there are none: with one given up, one client more is accepted, so that
//! health and an operator are answered while something has used up all others.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// One descriptor in reserve.
#[derive(Debug)]
pub struct Spare(Option<OwnedFd>);

impl Default for Spare {
    /// Taken early: a limit that is lowered later ends the high numbers first.
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

    /// Takes one again, if there is one.
    pub fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
