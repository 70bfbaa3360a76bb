//! The real parts that a test with a real runtime needs; where one is missing the test is skipped like a test without a
//! lab.

use std::ffi::OsString;
use std::path::PathBuf;

use podlan_conformance::lab;

use super::RUNTIME;

/// Found on PATH (Debian: packages containerd and runc).
const PROGRAMS: [&str; 4] = ["containerd", "containerd-shim-runc-v2", "ctr", "runc"];

/// The directories of the reference plugins: Debian, the upstream archive, Fedora.
const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// The origin of a containerd.
#[derive(Clone, Copy)]
#[expect(dead_code, reason = "each program has one of the two")]
pub enum Runtime {
    /// The one in PATH.
    OfThisMachine,
    /// The one in the directory PODLAN_CONTAINERD_2, with this machine's runc.
    Newer,
}

impl Runtime {
    /// The directories of its programs, and of all others; `None` where its directory is not given.
    fn path(self) -> Option<OsString> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        match self {
            Self::OfThisMachine => Some(path),
            Self::Newer => {
                let mut first = std::env::var_os("PODLAN_CONTAINERD_2")?;
                first.push("/bin:");
                first.push(path);
                Some(first)
            }
        }
    }
}

/// The parts, and their directories.
pub struct Parts {
    /// PATH of the runtime, its own folder first.
    pub path: OsString,
    plugins: PathBuf,
}

impl Parts {
    /// `None` is a reported skip; with `CI=true` a missing part is a failure, except for one that another Debian suite
    /// would have to provide.
    pub fn find() -> Option<Self> {
        let Some(path) = RUNTIME.path() else {
            lab::set_aside("missing containerd 2: export PODLAN_CONTAINERD_2=$(scripts/beside containerd)");
            return None;
        };
        let on_path = |name: &str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
        let plugins = PLUGIN_DIRECTORIES.map(PathBuf::from).into_iter().find(|path| path.join("loopback").is_file());
        let mut missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !on_path(name)).collect();
        if plugins.is_none() {
            missing.push("the reference CNI plugins");
        }
        if missing.is_empty() {
            return plugins.map(|plugins| Self { path, plugins });
        }
        let fix = "apt-get install containerd runc containernetworking-plugins";
        lab::skip(&format!("missing {}: {fix}", missing.join(", ")));
        None
    }

    /// The reference plugin `name`; containerd itself runs `loopback` in each pod beside the network's chain.
    pub fn plugin(&self, name: &str) -> PathBuf {
        self.plugins.join(name)
    }
}
