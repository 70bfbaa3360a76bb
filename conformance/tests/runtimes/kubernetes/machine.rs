//! One node of the cluster as a machine: containerd, kubelet and kube-proxy, and a disk that survives a reboot.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use podlan_conformance::lab::{Command, Error, Node, Running, SHARED, eventually};
use serde_json::Value;

use crate::containerd_2::parts::Parts;
use crate::kubernetes::settings;

const CONFIG: &str = include_str!("../containerd/config.toml");
const SOCKET: &str = "/run/containerd/containerd.sock";
/// The path of the API server's certificate on each machine.
pub const AUTHORITY: &str = "/etc/kubernetes/ca.crt";
const START: Duration = Duration::from_secs(60);

/// What the machine has on its disk or gets from its owner: the same before and after a reboot.
pub struct Outfit<'a> {
    pub parts: &'a Parts,
    pub programs: &'a Path,
    /// The API server's certificate.
    pub authority: PathBuf,
    /// Access to the API server, for the kubelet and for the proxy.
    pub kubelet: Value,
    pub proxy: Value,
}

pub struct Machine {
    pub node: Node,
    disk: PathBuf,
    boot: u32,
    path: OsString,
    /// The last one started is first: they end in this order.
    proxy: Running,
    kubelet: Running,
    containerd: Running,
}

impl Machine {
    /// Starts it with an empty disk, except for these images.
    pub fn new(node: Node, outfit: &Outfit<'_>, images: &[PathBuf]) -> Result<Self, Error> {
        let disk = PathBuf::from(SHARED).join("disks").join(node.name());
        let machine = Self::boot(node, disk, 1, outfit)?;
        images.iter().try_for_each(|image| machine.import(image))?;
        Ok(machine)
    }

    fn boot(node: Node, disk: PathBuf, boot: u32, outfit: &Outfit<'_>) -> Result<Self, Error> {
        node.keep_to_itself(&disk.join("changes"), &["/etc", "/opt", "/var"])?;
        // A service's address must have a route before the proxy redirects it; no host has this address.
        for (family, gateway) in [("-4", "172.31.0.254"), ("-6", "fd31::fe")] {
            node.command("ip").args([family, "route", "add", "default", "via", gateway]).succeeds()?;
        }
        let place = node.place().clone();
        let authority = fs::read(&outfit.authority);
        let made =
            place.enter(|| fs::create_dir_all(&disk).and_then(|()| furnish(&disk, boot, outfit, &authority?)))?;
        made.map_err(|source| Error::System { doing: format!("furnish {}", node.name()), source })?;
        let containerd = node.command("containerd").env("PATH", &outfit.parts.path);
        let mut containerd = containerd.args(["--config", "/etc/containerd/config.toml"]).spawn()?;
        let socket = node.path(SOCKET);
        eventually(START, &format!("containerd of {} answers", node.name()), || {
            let up = containerd.is_running() && std::os::unix::net::UnixStream::connect(&socket).is_ok();
            if up { Ok(()) } else { Err(containerd.stderr()) }
        })?;
        let kubelet = kubelet(&node, &disk, outfit).spawn()?;
        fs::write(disk.join("proxy.json"), settings::proxy(node.name()).to_string())
            .map_err(|source| Error::System { doing: "write the proxy's configuration".into(), source })?;
        let proxy = node.command(outfit.programs.join("kube-proxy"));
        let proxy = proxy.arg("--config").arg(disk.join("proxy.json")).spawn()?;
        let path = outfit.parts.path.clone();
        Ok(Self { node, disk, boot, path, proxy, kubelet, containerd })
    }

    /// Imports an image into its containerd.
    pub fn import(&self, archive: &Path) -> Result<(), Error> {
        self.images(&["import", "--snapshotter", "overlayfs"]).arg(archive).succeeds().map(drop)
    }

    /// Gives an image more names.
    pub fn tag<'n>(&self, image: &str, names: impl IntoIterator<Item = &'n str>) -> Result<(), Error> {
        self.images(&["tag", "--force", image]).args(names).succeeds().map(drop)
    }

    fn images(&self, words: &[&str]) -> Command {
        let ctr = self.node.command("ctr").env("PATH", &self.path).args(["--address", SOCKET]);
        ctr.args(["--namespace", "k8s.io", "images"]).args(words).deadline(START)
    }

    /// Restarts its kubelet; the pods keep running.
    pub fn restart_kubelet(&mut self, outfit: &Outfit<'_>) -> Result<(), Error> {
        self.kubelet.signal(nix::sys::signal::Signal::SIGKILL)?;
        self.kubelet = kubelet(&self.node, &self.disk, outfit).spawn()?;
        Ok(())
    }

    /// Ends kube-proxy and removes its rules, as its own `--cleanup` does: no Service has an address here any longer.
    pub fn lose_proxy(&mut self) -> Result<(), Error> {
        self.proxy.signal(nix::sys::signal::Signal::SIGKILL)?;
        for family in ["ip", "ip6"] {
            self.node.command("nft").args(["delete", "table", family, "kube-proxy"]).succeeds()?;
        }
        Ok(())
    }

    /// A power failure and a restart. Everything in memory is lost, the disk is not.
    pub fn reboot(self, outfit: &Outfit<'_>) -> Result<Self, Error> {
        let Self { node, disk, boot, path: _, proxy, kubelet, containerd } = self;
        let number = node.name().trim_start_matches("node").parse().unwrap_or(0);
        drop((proxy, kubelet, containerd));
        node.power_off()?;
        Self::boot(Node::new(number)?, disk, boot + 1, outfit)
    }

    /// The last log lines of its kubelet, proxy and containerd.
    pub fn explain(&self) -> String {
        let last = |name: &str, running: &Running| {
            let said = running.stderr();
            let lines: Vec<&str> = said.lines().collect();
            format!("--- {name} of {}\n{}\n", self.node.name(), lines[lines.len().saturating_sub(40)..].join("\n"))
        };
        [("containerd", &self.containerd), ("kubelet", &self.kubelet), ("kube-proxy", &self.proxy)]
            .map(|(name, running)| last(name, running))
            .concat()
    }
}

/// Creates the directories of an installed node, with the reference plugins and no network configuration.
fn furnish(disk: &Path, boot: u32, outfit: &Outfit<'_>, authority: &[u8]) -> std::io::Result<()> {
    let within = |name: &str| disk.join(name).to_string_lossy().into_owned();
    if boot == 1 {
        for folder in ["/etc/cni", "/opt/cni"] {
            fs::remove_dir_all(folder).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
    }
    for folder in ["/etc/cni/net.d", "/opt/cni/bin", "/etc/kubernetes", "/etc/containerd", "/run/containerd"] {
        fs::create_dir_all(folder)?;
    }
    fs::copy(outfit.parts.plugin("loopback"), "/opt/cni/bin/loopback")?;
    let config = CONFIG
        .replace("@DIR@/sock", SOCKET)
        .replace("@DIR@", "/run/containerd")
        .replace("@ROOT@", &within("containerd"))
        .replace("@BIN@", "/opt/cni/bin")
        .replace("@NET@", "/etc/cni/net.d")
        .replace("@UNDER@", "false")
        .replace("@INTERNAL@", "true")
        .replace("@RUNC@", env!("CARGO_BIN_EXE_podlan-lab-runc"));
    fs::write("/etc/containerd/config.toml", config)?;
    fs::write(AUTHORITY, authority)?;
    fs::write("/etc/kubernetes/kubelet.conf", outfit.kubelet.to_string())?;
    fs::write("/etc/kubernetes/proxy.conf", outfit.proxy.to_string())?;
    fs::write(disk.join("kubelet.json"), settings::kubelet(&within("kubelet")).to_string())?;
    // The machine's kernel reports the same for all nodes, and it stays the same.
    let boot_id = disk.join("boot-id");
    fs::write(&boot_id, format!("00000000-0000-4000-8000-{boot:012}\n"))?;
    Ok(mount(Some(&boot_id), "/proc/sys/kernel/random/boot_id", None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

fn kubelet(node: &Node, disk: &Path, outfit: &Outfit<'_>) -> Command {
    let addresses: Vec<String> = node.ips().iter().map(ToString::to_string).collect();
    node.command(outfit.programs.join("kubelet"))
        .env("PATH", &outfit.parts.path)
        .arg("--config")
        .arg(disk.join("kubelet.json"))
        .arg("--root-dir")
        .arg(disk.join("kubelet"))
        .args(["--kubeconfig", "/etc/kubernetes/kubelet.conf", "--cert-dir"])
        .arg(disk.join("kubelet/pki"))
        .args(["--hostname-override", node.name(), "--node-ip", &addresses.join(",")])
}
