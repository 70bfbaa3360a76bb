//! What the node's file systems and processes say: room in the run directory, who holds a lock, which runtimes are there.

pub mod observe;

/// Room in the file system of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// The directory.
    pub directory: String,
    /// Bytes that can be written.
    pub free: u64,
    /// All bytes.
    pub size: u64,
    /// Files that can be made; `None` where the file system has no such limit.
    pub free_files: Option<u64>,
}

/// A process that holds the lock of a lease store, and has held it for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lock file.
    pub lock: String,
    /// The process; 0 where it is of another pid namespace.
    pub pid: i32,
    /// Its command line; "" where it cannot be read.
    pub command: String,
    /// It is stopped (SIGSTOP, a debugger).
    pub stopped: bool,
}

/// The plugin `loopback`, which containerd runs for each pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loopback {
    /// The runtime's socket.
    pub socket: String,
    /// Where it looks for the plugin.
    pub path: String,
    /// The plugin is there.
    pub there: bool,
}
