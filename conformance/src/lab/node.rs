//! A node: namespaces of its own, a cable to the LAN, a pod CIDR per family.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;
use serde_json::{Value, json};

use super::place::Namespaces;
use super::{Command, Error, LAN, Lab, PORT, Place, Pod, Running, SHARED, Snapshot, binaries, mounts, settings, wire};

/// The directory of the nodes' own /run, as the lab sees them.
const RUNS: &str = "/run/nodes";

/// A node of the lab. It has its own `/run`; the rest of the file system is the machine's.
#[derive(Debug, Clone)]
pub struct Node {
    name: String,
    number: u8,
    place: Place,
}

impl Node {
    /// Makes node `number`, named `node<number>`, and plugs it into the LAN.
    ///
    /// # Errors
    /// When the kernel refuses, or the LAN has a node of that number.
    pub fn new(number: u8) -> Result<Self, Error> {
        let name = format!("node{number}");
        let run = PathBuf::from(RUNS).join(&name);
        let shared = run.join("lab");
        for folder in [&shared, &run.join("netns")] {
            fs::create_dir_all(folder).map_err(Error::system(format!("make {}", folder.display())))?;
        }
        let lab = Place::lab()?;
        let namespaces = lab.enter(|| -> Result<Namespaces, Error> {
            let failed = |doing: &str| Error::system::<Errno>(format!("{doing} of {name}"));
            let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
            unshare(own).map_err(failed("make the namespaces"))?;
            mounts::keep_to_ourselves().map_err(failed("part the mounts"))?;
            mounts::sysfs().map_err(failed("mount /sys"))?;
            mounts::bind(SHARED, &shared).map_err(failed("bind the shared folder"))?;
            mounts::bind(&run, "/run").map_err(failed("bind /run"))?;
            mounts::tmpfs(mounts::CNI_RESULTS).map_err(failed("mount /var/lib/cni"))?;
            sethostname(&name).map_err(failed("set the hostname"))?;
            Namespaces::here()
        })??;
        let node = Self { place: Place::node(&name, namespaces), name, number };
        node.connect(&lab)?;
        settings::of_environment(&node.place)?;
        Ok(node)
    }

    fn connect(&self, lab: &Place) -> Result<(), Error> {
        let failed = |errno| Error::Kernel { doing: format!("plug {} into the LAN", self.name), errno };
        let netns = self.place.network();
        // The address stays the same after a reboot, as a network card's does: the other nodes have it in their
        // neighbour tables.
        let mac = [2, 0, 172, 31, 0, self.number];
        lab.enter(|| wire::cable(LAN, &self.name, netns, mac))?.map_err(failed)?;
        let addresses = [network(self.v4(), 24), network(self.v6(), 64)];
        self.place.enter(|| wire::plug_in(&addresses))?.map_err(failed)
    }

    /// `node1`, `node2`, …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the LAN: 172.31.0.N.
    #[must_use]
    pub fn v4(&self) -> IpAddr {
        Ipv4Addr::new(172, 31, 0, self.number).into()
    }

    /// Its address on the LAN: fd31::N.
    #[must_use]
    pub fn v6(&self) -> IpAddr {
        Ipv6Addr::new(0xfd31, 0, 0, 0, 0, 0, 0, self.number.into()).into()
    }

    /// Both of them.
    #[must_use]
    pub fn ips(&self) -> Vec<IpAddr> {
        vec![self.v4(), self.v6()]
    }

    /// Its pod CIDRs: 10.244.N.0/24 and fd00:10:244:N::/64.
    #[must_use]
    pub fn pod_cidrs(&self) -> [IpNetwork; 2] {
        let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, self.number.into(), 0, 0, 0, 0);
        [network(Ipv4Addr::new(10, 244, self.number, 0).into(), 24), network(v6.into(), 64)]
    }

    /// The network config of the plugin `podlan` on this node: both families, everything else left to its default.
    #[must_use]
    pub fn podnet(&self) -> Value {
        let ranges: Vec<Value> = self.pod_cidrs().iter().map(|cidr| json!([{ "subnet": cidr.to_string() }])).collect();
        json!({
            "cniVersion": "1.0.0", "name": "podnet", "type": "podlan",
            "ipam": { "type": "podlan-ipam", "ranges": ranges },
        })
    }

    /// This node as an item of a Kubernetes NodeList.
    #[must_use]
    pub fn as_kubernetes(&self) -> Value {
        let cidrs = self.pod_cidrs().map(|cidr| cidr.to_string());
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.name },
            "spec": { "podCIDR": cidrs[0], "podCIDRs": cidrs },
            "status": { "addresses": [
                { "type": "InternalIP", "address": self.v4().to_string() },
                { "type": "InternalIP", "address": self.v6().to_string() },
                { "type": "Hostname", "address": self.name },
            ] },
        })
    }

    /// Lets mounts made on this node from now on appear in containers that request that, as on a node with systemd.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn share_mounts(&self) -> Result<(), Error> {
        let doing = format!("share the mounts of {}", self.name);
        self.place.enter(mounts::share_with_containers)?.map_err(Error::system(doing))
    }

    /// Makes it look like a machine of its own to software: writes below each of `folders` go to `disk`, sysctls
    /// outside of networks and the cgroups are read-only, and mounts propagate into containers that request it.
    ///
    /// # Errors
    /// When the kernel refuses, such as a kernel without overlayfs for users.
    pub fn keep_to_itself(&self, disk: &Path, folders: &[&str]) -> Result<(), Error> {
        let failed = |doing: String| Error::system::<Errno>(format!("{doing} on {}", self.name));
        self.place.enter(|| {
            for folder in folders {
                let changes = disk.join(folder.trim_start_matches('/'));
                mounts::own_folder(folder, &changes).map_err(failed(format!("mount over {folder}")))?;
            }
            mounts::keep_sysctls().map_err(failed("make the sysctls read-only".into()))?;
            mounts::keep_cgroups().map_err(failed("make the cgroups read-only".into()))?;
            mounts::share_with_containers().map_err(failed("share the mounts".into()))
        })?
    }

    /// A power failure: every process on this node dies, in its containers too, and with them its namespaces and /run.
    /// The number may be used again.
    ///
    /// # Errors
    /// When it does not die.
    pub fn power_off(self) -> Result<(), Error> {
        let Self { name, place, .. } = self;
        place.kill_all()?;
        drop(place);
        match Place::lab()?.enter(|| wire::remove(&name))? {
            // The kernel has deleted the network namespace already, and with it the cable.
            Ok(()) | Err(Errno::ENODEV) => {}
            Err(errno) => return Err(Error::Kernel { doing: format!("unplug {name}"), errno }),
        }
        let run = PathBuf::from(RUNS).join(&name);
        fs::remove_dir_all(&run).map_err(Error::system(format!("empty {}", run.display())))
    }

    /// Its namespaces, to run anything in.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A path of this node's /run, as the lab itself can open it. Mounts below it are visible on the node only.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("/run/") {
            Some(rest) => PathBuf::from(RUNS).join(&self.name).join(rest),
            None => path.into(),
        }
    }

    /// Applies a file of sysctl.d(5) to it, now and to each link that appears, as systemd and udev do.
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub fn apply_settings(&self, text: &str) -> Result<(), Error> {
        settings::apply(&self.place, text)
    }

    /// A sysctl of its network namespace, by its path, without the line end.
    ///
    /// # Errors
    /// When the kernel has none of that name.
    pub fn sysctl(&self, path: &str) -> Result<String, Error> {
        let value = self.place.enter(|| fs::read_to_string(path))?;
        value.map(|value| value.trim_end().to_owned()).map_err(Error::system(format!("read {path} on {}", self.name)))
    }

    /// A command on this node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self.place.clone(), program)
    }

    /// Connects to servers from here, by every protocol: each must have seen this node at its own address of that
    /// family.
    ///
    /// # Errors
    /// As [`Place::reaches`].
    pub fn reaches(&self, to: &[IpAddr]) -> Result<(), Error> {
        self.place.reaches(&self.ips(), to)
    }

    /// The state of its network namespace.
    ///
    /// # Errors
    /// As [`Snapshot::of`].
    pub fn network(&self) -> Result<Snapshot, Error> {
        Snapshot::of(&self.place)
    }

    /// Makes the network namespace of a pod at /run/netns/NAME, as a container runtime does before it calls a plugin.
    ///
    /// # Errors
    /// When the name is taken or the kernel refuses.
    pub fn pod(&self, name: &str) -> Result<Pod<'_>, Error> {
        Pod::new(self, name)
    }

    /// Uses the network namespace of a process of this node as that of a pod; otherwise as [`Node::pod`].
    ///
    /// # Errors
    /// When the name is taken or the process is gone.
    pub fn pod_of_process(&self, name: &str, process: u32) -> Result<Pod<'_>, Error> {
        Pod::of_process(self, name, process)
    }

    /// Starts the agent `podlan-node run` on this node with the lab's nodes file and these arguments.
    ///
    /// # Errors
    /// When it was not built or cannot be started.
    pub fn agent(&self, arguments: &[&str]) -> Result<Running, Error> {
        self.command(binaries::find("podlan-node")?)
            .args(["run", "--node-name", &self.name, "--nodes", Lab::NODES_FILE])
            .args(arguments)
            .spawn()
    }

    /// Runs a shell script on this node and returns its stdout.
    ///
    /// # Errors
    /// When it fails.
    pub fn shell(&self, script: &str) -> Result<String, Error> {
        self.command("sh").args(["-c", script]).succeeds()
    }

    /// Starts servers on this node that answer with the client's address: TCP, UDP and ICMP, both families.
    ///
    /// # Errors
    /// When they do not start.
    pub fn serve(&self) -> Result<Running, Error> {
        self.place.serve(PORT)
    }

    /// Unplugs the cable to the LAN, or plugs it in.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cable(&self, plugged: bool) -> Result<(), Error> {
        let doing = format!("switch the cable of {}", self.name);
        Place::lab()?.enter(|| wire::switch(&self.name, plugged))?.map_err(|errno| Error::Kernel { doing, errno })
    }
}

fn network(address: IpAddr, prefix: u8) -> IpNetwork {
    IpNetwork::new(address, prefix).unwrap_or_else(|_| address.into())
}
