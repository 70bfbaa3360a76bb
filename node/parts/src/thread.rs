//! How each thread of the agent is started: in the agent's network namespace, with the agent's capabilities, and with all
//! signals blocked, because the main thread alone handles signals.
//!
//! The kernel copies all three from the thread that starts another. A thread that has entered a pod's namespace must not
//! pass that on, so it is refused.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};

/// What a thread has from the one that started it. A field is `None` where `/proc` does not show it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inherited {
    /// The device and inode number of its network namespace.
    netns: Option<(u64, u64)>,
    /// The line `CapEff` of its status.
    capabilities: Option<String>,
}

thread_local! {
    /// What this thread was started with, or had when it started the first other one.
    static AT_START: RefCell<Option<Inherited>> = const { RefCell::new(None) };
}

/// Starts a thread. Of its name the kernel keeps 15 bytes. An error is the kernel's, or says that the calling thread is not
/// in the network namespace, or does not have the capabilities, with which it was started.
pub fn start<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    let now = Inherited::of_this_thread();
    let at_start = AT_START.with_borrow_mut(|at_start| at_start.get_or_insert_with(|| now.clone()).clone());
    at_start.is_kept_by(&now)?;
    // Blocked before the thread exists, so that it never handles one.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        AT_START.set(Some(at_start));
        body()
    });
    before.thread_set_mask()?;
    thread
}

impl Inherited {
    fn of_this_thread() -> Self {
        let netns = fs::metadata("/proc/thread-self/ns/net").ok();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self {
            netns: netns.map(|file| (file.dev(), file.ino())),
            capabilities: status.lines().find(|line| line.starts_with("CapEff:")).map(str::to_owned),
        }
    }

    /// What cannot be known is not compared.
    fn is_kept_by(&self, now: &Self) -> io::Result<()> {
        if self.netns.is_some() && now.netns.is_some() && self.netns != now.netns {
            return Err(io::Error::other("the thread that starts it is in another network namespace than the agent"));
        }
        if self.capabilities.is_some() && now.capabilities.is_some() && self.capabilities != now.capabilities {
            return Err(io::Error::other("the thread that starts it has other capabilities than the agent"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn a_thread_has_all_signals_blocked_and_the_one_that_starts_it_keeps_its_mask() {
        let before = SigSet::thread_get_mask().unwrap();
        let blocked = start("blocked", || SigSet::thread_get_mask().unwrap()).unwrap().join().unwrap();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD] {
            assert!(blocked.contains(signal), "{signal}");
        }
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }

    #[test]
    fn a_thread_that_is_not_where_it_was_started_starts_no_other() {
        let there = Inherited { netns: Some((4, 1)), capabilities: Some("CapEff:\t3000".to_owned()) };
        assert!(there.is_kept_by(&there).is_ok());
        let elsewhere = Inherited { netns: Some((4, 2)), ..there.clone() };
        assert!(there.is_kept_by(&elsewhere).unwrap_err().to_string().contains("network namespace"));
        let stronger = Inherited { capabilities: Some("CapEff:\tffff".to_owned()), ..there.clone() };
        assert!(there.is_kept_by(&stronger).unwrap_err().to_string().contains("capabilities"));
        let unknown = Inherited { netns: None, capabilities: None };
        assert!(there.is_kept_by(&unknown).is_ok() && unknown.is_kept_by(&there).is_ok(), "/proc cannot be read");

        let refused = start("outer", move || {
            AT_START.with_borrow_mut(|at_start| {
                if let Some(at_start) = at_start {
                    at_start.netns = Some((0, 0));
                }
            });
            start("inner", || ()).map(drop)
        });
        assert!(refused.unwrap().join().unwrap().is_err());
    }
}
