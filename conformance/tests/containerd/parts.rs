//! The real parts that a test with a real runtime needs, and what to do where one is missing:
//! a loud skip on a laptop, a failure in CI.

use std::path::PathBuf;

/// Found on PATH (Debian: packages containerd and runc).
const PROGRAMS: [&str; 4] = ["containerd", "containerd-shim-runc-v2", "ctr", "runc"];

/// Where the reference plugins live: Debian, the upstream archive, Fedora.
const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// What was found.
pub struct Parts {
    /// The reference `loopback`; containerd 1.x runs it in each pod beside the network's chain.
    pub loopback: PathBuf,
}

impl Parts {
    /// `None` is a skip that was told; with CI=true a missing part is a failure.
    pub fn find(test: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = |name: &&str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
        let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !on_path(name)).collect();
        let loopback = PLUGIN_DIRECTORIES.iter().map(|directory| PathBuf::from(directory).join("loopback"));
        match (missing.as_slice(), loopback.into_iter().find(|path| path.is_file())) {
            ([], Some(loopback)) => Some(Self { loopback }),
            ([], None) => skip(test, "the CNI plugin loopback"),
            (missing, _) => skip(test, &missing.join(", ")),
        }
    }
}

fn skip(test: &str, missing: &str) -> Option<Parts> {
    let cure = "apt-get install containerd runc containernetworking-plugins";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: missing {missing}; {cure}");
    eprintln!("\n  SKIPPED {test}: missing {missing}\n  to run it: {cure}\n");
    None
}
