//! Links that are created and deleted beside what is tested, in network namespaces of their own: the load of a machine
//! that starts and stops pods. Every change of a link in any of the machine's namespaces waits for one lock of the
//! kernel.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::kernel::Kernel;
use super::{Error, wire};

/// Pairs that a thread makes, sets up and removes in one round.
const PAIRS: usize = 3;

/// Threads that make and remove links until the value is dropped.
#[derive(Debug)]
pub struct Churn {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Errno>>>,
}

impl Churn {
    /// Starts as many threads.
    #[must_use]
    pub fn start(threads: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || come_and_go(&over))
        };
        let threads = (0..threads).map(thread).collect();
        Self { over, threads }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When a thread's request was refused: then the load was less than intended.
    pub fn stop(mut self) -> Result<(), Error> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().unwrap_or(Err(Errno::ECANCELED)));
        let refused = ended.collect::<Result<Vec<()>, Errno>>();
        refused.map(drop).map_err(|errno| Error::Kernel { doing: "make and remove links".into(), errno })
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn come_and_go(over: &AtomicBool) -> Result<(), Errno> {
    let near = new_namespace()?;
    while !over.load(Ordering::Relaxed) {
        let far = new_namespace()?;
        enter(&near)?;
        for number in 0..PAIRS {
            pair(&format!("near{number}"), &far, &format!("far{number}"))?;
            wire::switch(&format!("near{number}"), true)?;
        }
        enter(&far)?;
        (0..PAIRS).try_for_each(|number| wire::switch(&format!("far{number}"), true))?;
        enter(&near)?;
        (0..PAIRS).try_for_each(|number| wire::remove(&format!("near{number}")))?;
    }
    Ok(())
}

/// A new network namespace; the calling thread is in it afterwards.
fn new_namespace() -> Result<File, Errno> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    File::open("/proc/thread-self/ns/net").map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

fn enter(namespace: &File) -> Result<(), Errno> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
}

fn pair(near: &str, there: &File, far: &str) -> Result<(), Errno> {
    let far = LinkUnspec::new_with_name(far).setns_by_fd(there.as_raw_fd()).build();
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(near.to_owned())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
        .build();
    Kernel::here()?.create(RouteNetlinkMessage::NewLink(pair))
}
