//! One containerd on one lab node: its directory, its process, its image, its plugins. It shares nothing: every path
//! that it writes belongs to the node, and it never talks to the machine's containerd.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use podlan_conformance::lab::{Error, Node, Running, eventually, until};
use serde_json::Value;

use super::RUNTIME;
use super::client::Client;
use super::parts::{Parts, Runtime};

const CONFIG: &str = include_str!("config.toml");
const DEADLINE: Duration = Duration::from_secs(20);

/// Which program sets a pod's loopback up. containerd 1.x always uses the plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// The reference's plugin.
    Plugin,
    /// The runtime itself.
    Internal,
}

pub struct Containerd<'a> {
    pub cri: Client,
    directory: PathBuf,
    path: OsString,
    node: &'a Node,
    process: Mutex<Running>,
}

impl<'a> Containerd<'a> {
    /// Creates `directory` (short: a socket's path has at most 107 bytes), starts containerd and imports the one image.
    pub fn start(node: &'a Node, directory: PathBuf, parts: &Parts, loopback: Loopback, archive: &[u8]) -> Self {
        for name in ["bin/.real", "net.d"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        let within = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let config = CONFIG
            .replace("@DIR@", directory.to_str().unwrap())
            .replace("@ROOT@", &within("root"))
            .replace("@BIN@", &within("bin"))
            .replace("@NET@", &within("net.d"))
            .replace("@UNDER@", "true")
            .replace("@INTERNAL@", if loopback == Loopback::Internal { "true" } else { "false" })
            .replace("@RUNC@", env!("CARGO_BIN_EXE_podlan-lab-runc"));
        fs::write(directory.join("config.toml"), config).unwrap();
        let image = directory.join("image.tar");
        fs::write(&image, archive).unwrap();
        let path = parts.path.clone();
        let process = Mutex::new(spawn(node, &directory, &path));
        let cri = Client::new(directory.join("sock"));
        let containerd = Self { cri, directory, path, node, process };
        containerd.wait_until_it_answers();
        assert!(
            !matches!(RUNTIME, Runtime::Newer) || containerd.is_of_major(2),
            "PODLAN_CONTAINERD_2 has no containerd 2"
        );
        containerd.import(&image);
        containerd
    }

    /// Whether its version begins with this number.
    pub fn is_of_major(&self, major: u8) -> bool {
        let version = self.cri.version().unwrap().runtime_version;
        version.trim_start_matches('v').split('.').next() == Some(&major.to_string())
    }

    /// Kills it, as in a crash. Its shims and pods keep running, as on a real node.
    pub fn kill_and_restart(&self) {
        {
            let mut process = self.process.lock().unwrap();
            process.signal(Signal::SIGKILL).unwrap();
            *process = spawn(self.node, &self.directory, &self.path);
        }
        self.wait_until_it_answers();
    }

    /// Installs the plugin at `binary` as `name`, with every call written down (see [`Self::calls`]).
    pub fn install_plugin(&self, name: &str, binary: &Path) {
        symlink(binary, self.bin_dir().join(".real").join(name)).unwrap();
        symlink(env!("CARGO_BIN_EXE_podlan-lab-trace"), self.bin_dir().join(name)).unwrap();
    }

    /// Replaces the node's conflist atomically, as an installer must, and waits until the runtime uses it.
    pub fn use_conflist(&self, conflist: &Value) -> Result<(), Error> {
        let (net_d, text) = (self.directory.join("net.d"), conflist.to_string());
        fs::write(net_d.join("new"), &text).unwrap();
        fs::rename(net_d.join("new"), net_d.join("10-podlan.conflist")).unwrap();
        eventually(DEADLINE, &format!("containerd on {} uses {text}", self.node.name()), || {
            let used = self.cri.conflists().map_err(|error| error.to_string())?;
            if used.contains(&text) { Ok(()) } else { Err(used.join("\n")) }
        })
    }

    pub fn bin_dir(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// The directory of its pods' network namespaces, on its node.
    pub fn netns_dir(&self) -> PathBuf {
        self.directory.join("state/io.containerd.grpc.v1.cri/netns")
    }

    pub fn conf_dir(&self) -> PathBuf {
        self.directory.join("net.d")
    }

    /// The OCI spec that runc got for a running container.
    pub fn spec(&self, container: &str) -> Value {
        let bundles = self.directory.join("state/io.containerd.runtime.v2.task/k8s.io");
        serde_json::from_str(&fs::read_to_string(bundles.join(container).join("config.json")).unwrap()).unwrap()
    }

    /// Every call of an installed plugin so far, in the order in which they ended.
    pub fn calls(&self) -> Vec<Value> {
        let lines = fs::read_to_string(self.bin_dir().join("calls.jsonl")).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Its last error lines, for a failure's message.
    fn log(&self) -> String {
        let log = self.process.lock().map_or_else(|_| String::new(), |process| process.stderr());
        let is_dull = |line: &&str| line.contains("level=debug") || line.contains("level=info");
        let lines: Vec<&str> = log.lines().filter(|line| !is_dull(line)).collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn wait_until_it_answers(&self) {
        let deadline = until(DEADLINE);
        while let Err(error) = self.cri.version() {
            assert!(
                Instant::now() < deadline,
                "containerd on {} does not answer: {error}\n{}",
                self.node.name(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Imports the images of an archive.
    pub fn import(&self, archive: &Path) {
        let socket = self.directory.join("sock");
        let ctr = self.node.command("ctr").env("PATH", &self.path).arg("--address").arg(socket);
        let ctr = ctr.args(["--namespace", "k8s.io"]);
        ctr.args(["images", "import", "--snapshotter", "overlayfs"]).arg(archive).succeeds().unwrap();
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- containerd on {} prints\n{}", self.node.name(), self.log());
        }
    }
}

fn spawn(node: &Node, directory: &Path, path: &OsStr) -> Running {
    let config = directory.join("config.toml");
    let containerd = node.command("containerd").env("PATH", path);
    containerd.arg("--config").arg(config).args(["--log-level", "debug"]).spawn().unwrap()
}
