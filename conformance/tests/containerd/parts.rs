//! The real parts that a test with a real runtime needs; where one is missing the test is skipped as the lab skips.

use std::path::PathBuf;

use podlan_conformance::lab;

/// Found on PATH (Debian: packages containerd and runc).
const PROGRAMS: [&str; 4] = ["containerd", "containerd-shim-runc-v2", "ctr", "runc"];

/// Where the reference plugins live: Debian, the upstream archive, Fedora.
const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// Where the reference plugins were found.
pub struct Parts {
    plugins: PathBuf,
}

impl Parts {
    /// `None` is a skip that was told; with `CI=true` a missing part is a failure.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = |name: &str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
        let plugins = PLUGIN_DIRECTORIES.map(PathBuf::from).into_iter().find(|path| path.join("loopback").is_file());
        let mut missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !on_path(name)).collect();
        if plugins.is_none() {
            missing.push("the reference CNI plugins");
        }
        if missing.is_empty() {
            return plugins.map(|plugins| Self { plugins });
        }
        let cure = "apt-get install containerd runc containernetworking-plugins";
        lab::skip(&format!("missing {}: {cure}", missing.join(", ")));
        None
    }

    /// The reference plugin `name`; containerd itself runs `loopback` in each pod beside the network's chain.
    pub fn plugin(&self, name: &str) -> PathBuf {
        self.plugins.join(name)
    }
}
