//! Where a command runs: the namespaces of a node, and the network namespace of a pod on it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipnetwork::IpNetwork;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};

use super::{Error, eventually, processes, wire};

/// The deadline for a node's processes to die: hundreds, with their namespaces.
const KILLED: Duration = Duration::from_secs(60);

/// The namespaces of a node: they live as long as this value or a process in them.
#[derive(Debug)]
pub(super) struct Namespaces {
    network: File,
    mount: File,
    uts: File,
}

impl Namespaces {
    /// Those of the calling thread.
    pub(super) fn here() -> Result<Self, Error> {
        let open = |name: &str| {
            let path = format!("/proc/thread-self/ns/{name}");
            File::open(&path).map_err(Error::system(format!("open {path}")))
        };
        Ok(Self { network: open("net")?, mount: open("mnt")?, uts: open("uts")? })
    }
}

/// A place in the lab where code and commands run: a node, or a pod on it.
#[derive(Debug, Clone)]
pub struct Place {
    name: String,
    node: Arc<Namespaces>,
    netns: Option<PathBuf>,
}

impl Place {
    pub(super) fn node(name: &str, namespaces: Namespaces) -> Self {
        Self { name: name.to_owned(), node: Arc::new(namespaces), netns: None }
    }

    /// The lab itself, where the bridge is.
    pub fn lab() -> Result<Self, Error> {
        Ok(Self::node("lab", Namespaces::here()?))
    }

    /// The network namespace of the file `netns` in this place, with a display name.
    #[must_use]
    pub fn netns(&self, name: &str, netns: &Path) -> Self {
        let name = format!("{}/{name}", self.name);
        Self { name, node: Arc::clone(&self.node), netns: Some(netns.to_owned()) }
    }

    /// The node's network namespace.
    pub(super) fn network(&self) -> BorrowedFd<'_> {
        self.node.network.as_fd()
    }

    /// The display name: `node1`, `node1/web`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `body` here, on a thread of its own: whatever it opens, mounts or starts belongs to this place.
    ///
    /// # Errors
    /// [`Error::System`] when the namespaces cannot be entered, such as that of a pod that was removed.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let visit = || -> Result<T, Error> {
            self.join()?;
            Ok(body())
        };
        thread::scope(|scope| match scope.spawn(visit).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Makes a link here that does not belong to podlan: a bridge, which every kernel has.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn occupy(&self, link: &str) -> Result<(), Error> {
        let doing = format!("make link {link} in {}", self.name);
        self.enter(|| wire::bridge(link))?.map_err(|errno| Error::Kernel { doing, errno })
    }

    /// Removes a link here, of any owner.
    ///
    /// # Errors
    /// When the kernel refuses, as when there is no such link.
    pub fn remove_link(&self, link: &str) -> Result<(), Error> {
        let doing = format!("remove link {link} in {}", self.name);
        self.enter(|| wire::remove(link))?.map_err(|errno| Error::Kernel { doing, errno })
    }

    /// Sets a link here down or up.
    ///
    /// # Errors
    /// When the kernel refuses, as when there is no such link.
    pub fn switch(&self, link: &str, up: bool) -> Result<(), Error> {
        let doing = format!("switch link {link} in {}", self.name);
        self.enter(|| wire::switch(link, up))?.map_err(|errno| Error::Kernel { doing, errno })
    }

    /// Deletes the route of the main table to `destination` here, of any owner.
    ///
    /// # Errors
    /// When the kernel refuses, as when there is no such route.
    pub fn remove_route(&self, destination: IpNetwork) -> Result<(), Error> {
        let doing = format!("delete the route to {destination} in {}", self.name);
        self.enter(|| wire::remove_route(destination))?.map_err(|errno| Error::Kernel { doing, errno })
    }

    /// Kills every process that shares this node's host name, and every descendant of one: its containers.
    ///
    /// # Errors
    /// When some are still alive at the deadline.
    pub(super) fn kill_all(&self) -> Result<(), Error> {
        let uts = self.node.uts.metadata().map_err(Error::system(format!("look at {}", self.name)))?.ino();
        eventually(KILLED, &format!("no process runs on {}", self.name), || {
            let living = processes::of(uts);
            living.iter().for_each(|pid| {
                kill(*pid, Signal::SIGKILL).ok();
            });
            if living.is_empty() { Ok(()) } else { Err(format!("{living:?}")) }
        })
    }

    /// The number of neighbour entries here, in any state; those for which the kernel needs no address do not count.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn neighbours(&self) -> Result<usize, Error> {
        let doing = format!("count the neighbours of {}", self.name);
        self.enter(wire::neighbours)?.map_err(|errno| Error::Kernel { doing, errno })
    }

    fn join(&self) -> Result<(), Error> {
        let failed = || Error::system::<nix::errno::Errno>(format!("enter {}", self.name));
        // A thread shares its root and working directory with the others; for a setns the kernel requires separate
        // ones.
        unshare(CloneFlags::CLONE_FS).map_err(failed())?;
        setns(&self.node.mount, CloneFlags::CLONE_NEWNS).map_err(failed())?;
        setns(&self.node.uts, CloneFlags::CLONE_NEWUTS).map_err(failed())?;
        match &self.netns {
            None => setns(&self.node.network, CloneFlags::CLONE_NEWNET).map_err(failed()),
            Some(path) => {
                let netns =
                    File::open(path).map_err(Error::system(format!("open {} on {}", path.display(), self.name)))?;
                setns(&netns, CloneFlags::CLONE_NEWNET).map_err(failed())
            }
        }
    }
}
