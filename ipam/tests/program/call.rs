//! Calling podlan-ipam as a runtime does, and looking at what it left.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use cni::{Attachment, ContainerId, Ifname, NetworkName};
use ipam::{Audit, Place};
use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_podlan-ipam");

/// A directory of leases and the config that leads there.
pub(crate) struct Net {
    pub(crate) home: tempfile::TempDir,
    pub(crate) config: Value,
}

pub(crate) fn owner(id: &str) -> Attachment {
    Attachment { container_id: ContainerId::parse(id).unwrap(), ifname: Ifname::parse("eth0").unwrap() }
}

impl Net {
    /// A network with these range sets, one subnet each.
    pub(crate) fn new(subnets: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("podlan-ipam-").tempdir_in(shm()).unwrap();
        let ranges: Vec<_> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
        let ipam = json!({"type": "podlan-ipam", "ranges": ranges, "dataDir": home.path().join("data")});
        let config = json!({"cniVersion": "1.1.0", "name": "net", "type": "podlan-ipam", "ipam": ipam});
        Self { home, config }
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.home.path().join("data"), NetworkName::parse("net").unwrap())
    }

    pub(crate) fn command(&self, program: &Path, verb: &str, id: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", "/opt/cni/bin");
        if matches!(verb, "ADD" | "DEL" | "CHECK") {
            command.env("CNI_CONTAINERID", id).env("CNI_NETNS", "/some/where").env("CNI_IFNAME", "eth0");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A verb under strace, which writes what it sees to [`Self::trace`].
    pub(crate) fn traced(&self, verb: &str, id: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new("strace"), verb, id);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["-f", "-qq", "-o"]).arg(self.trace()).args(arguments).arg(PROGRAM);
        command
    }

    pub(crate) fn trace(&self) -> PathBuf {
        self.home.path().join("trace")
    }

    pub(crate) fn start(&self, mut command: Command) -> Child {
        let mut child = command.spawn().unwrap();
        // A child that was killed does not read: what it leaves unread is no matter.
        let _ = child.stdin.take().unwrap().write_all(self.config.to_string().as_bytes());
        child
    }

    pub(crate) fn call(&self, verb: &str, id: &str) -> Result<Value, Value> {
        let child = self.start(self.command(Path::new(PROGRAM), verb, id));
        verdict(&child.wait_with_output().unwrap())
    }

    /// Addresses of an ADD that must succeed.
    pub(crate) fn add(&self, id: &str) -> Vec<IpAddr> {
        addresses(&self.call("ADD", id).unwrap_or_else(|error| panic!("ADD {id}: {error}")))
    }

    pub(crate) fn audit(&self) -> Audit {
        ipam::audit(&self.place()).unwrap_or_else(|error| panic!("{error}")).unwrap_or_default()
    }

    /// The same network elsewhere, file by file.
    pub(crate) fn copy(&self) -> Self {
        let other = Self::new(&[]);
        let (from, to) = (self.place().directory(), other.place().directory());
        if from.exists() {
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        let mut config = self.config.clone();
        config["ipam"]["dataDir"] = json!(other.home.path().join("data"));
        Self { config, ..other }
    }
}

/// Stdout as JSON: the result, or the error object with its code.
pub(crate) fn verdict(output: &Output) -> Result<Value, Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let value = if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    match output.status.success() {
        true => Ok(value),
        false => Err(value),
    }
}

pub(crate) fn addresses(result: &Value) -> Vec<IpAddr> {
    let address = |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap();
    result["ips"].as_array().unwrap().iter().map(address).collect()
}

/// Memory where there is some: the same files, without waiting for a medium.
fn shm() -> PathBuf {
    Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

pub(crate) fn has_strace() -> bool {
    has("strace", &["-V"], "strace is missing (apt-get install strace)")
}

/// Can a test have what it needs? If not: a loud skip on a laptop, a failure where CI=true.
pub(crate) fn has(program: &str, arguments: &[&str], why: &str) -> bool {
    let ran = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = ran.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true forbids: {why}");
        eprintln!("SKIPPED: {why}");
        // Where scripts/test counts what was skipped.
        if let Some(path) = std::env::var_os("PODLAN_SKIPPED") {
            let by_thread = || std::thread::current().name().unwrap_or("main").to_owned();
            let name = std::env::var("NEXTEST_TEST_NAME").unwrap_or_else(|_| by_thread());
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "{name}: {why}").unwrap();
        }
    }
    found
}
