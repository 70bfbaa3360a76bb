//! A pod: a network namespace on a node, and the plugin called for it as by a container runtime.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use super::{Command, Error, Node, Output, PORT, Place, Running, Snapshot, binaries, mounts};

/// A pod's network namespace.
#[derive(Debug)]
pub struct Pod<'node> {
    node: &'node Node,
    name: String,
    netns: PathBuf,
    place: Place,
}

/// The plugin's result of an ADD, as printed.
#[derive(Debug, Clone)]
pub struct Added {
    /// The whole result.
    pub result: Value,
    /// The pod's addresses with their prefix lengths, in the plugin's order.
    pub addresses: Vec<IpNetwork>,
}

impl Added {
    /// The pod's addresses.
    #[must_use]
    pub fn ips(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(IpNetwork::ip).collect()
    }

    /// The address of one family.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the result has none.
    pub fn v4(&self) -> Result<IpAddr, Error> {
        self.one(IpAddr::is_ipv4, "IPv4")
    }

    /// The address of one family.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the result has none.
    pub fn v6(&self) -> Result<IpAddr, Error> {
        self.one(IpAddr::is_ipv6, "IPv6")
    }

    fn one(&self, is_wanted: fn(&IpAddr) -> bool, family: &str) -> Result<IpAddr, Error> {
        let mut ips = self.addresses.iter().map(IpNetwork::ip);
        ips.find(is_wanted).ok_or_else(|| Error::Unreadable {
            from: format!("the plugin, asked for an {family} address,"),
            said: self.result.to_string(),
        })
    }
}

impl<'node> Pod<'node> {
    pub(super) fn new(node: &'node Node, name: &str) -> Result<Self, Error> {
        let netns = Path::new("/run/netns").join(name);
        let doing = format!("make pod {name} on {}", node.name());
        let made = node.place().enter(|| -> std::io::Result<()> {
            File::create_new(&netns)?;
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(mounts::bind("/proc/thread-self/ns/net", &netns)?)
        })?;
        made.map_err(Error::system(doing))?;
        Ok(Self { node, name: name.to_owned(), place: node.place().netns(name, &netns), netns })
    }

    /// The pod of a process that runs on the node, in a network namespace of its own.
    pub(super) fn of_process(node: &'node Node, name: &str, process: u32) -> Result<Self, Error> {
        let netns = Path::new("/run/netns").join(name);
        let doing = format!("make pod {name} of process {process} on {}", node.name());
        let bound = node.place().enter(|| -> std::io::Result<()> {
            File::create_new(&netns)?;
            Ok(mounts::bind(format!("/proc/{process}/ns/net"), &netns)?)
        })?;
        bound.map_err(Error::system(doing))?;
        Ok(Self { node, name: name.to_owned(), place: node.place().netns(name, &netns), netns })
    }

    /// Its name, which is its container id too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node that it runs on.
    #[must_use]
    pub fn node(&self) -> &'node Node {
        self.node
    }

    /// The file of its network namespace, as its node sees it.
    #[must_use]
    pub fn netns(&self) -> &Path {
        &self.netns
    }

    /// Its network namespace, to run anything in.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A command in this pod.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self.place.clone(), program)
    }

    /// A traffic command of podlan-lab in this pod.
    ///
    /// # Errors
    /// When podlan-lab was not built.
    pub fn lab(&self, arguments: &[&str]) -> Result<Command, Error> {
        Ok(self.command(binaries::lab()?).args(arguments))
    }

    /// Starts servers in this pod that answer with the client's address: TCP, UDP and ICMP, both families.
    ///
    /// # Errors
    /// When they do not start.
    pub fn serve(&self) -> Result<Running, Error> {
        self.place.serve(PORT)
    }

    /// Connects to servers from here, by every protocol: each must have seen this pod at `own`, its address of that
    /// family.
    ///
    /// # Errors
    /// As [`Place::reaches`].
    pub fn reaches(&self, own: &Added, to: &[IpAddr]) -> Result<(), Error> {
        self.place.reaches(&own.ips(), to)
    }

    /// The state of its network namespace.
    ///
    /// # Errors
    /// As [`Snapshot::of`].
    pub fn network(&self) -> Result<Snapshot, Error> {
        Snapshot::of(&self.place)
    }

    /// The plugin `type` of `config`, called for this pod as containerd calls it, ready to be changed and run.
    ///
    /// # Errors
    /// When the plugin was not built.
    pub fn cni(&self, verb: &str, ifname: &str, config: &Value) -> Result<Command, Error> {
        let plugin = binaries::find(config["type"].as_str().unwrap_or("podlan"))?;
        let path = plugin.parent().unwrap_or(Path::new("/")).to_owned();
        let pod = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}", name = self.name);
        Ok(self
            .node
            .command(plugin)
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.name)
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", ifname)
            .env("CNI_PATH", path)
            .env("CNI_ARGS", pod)
            .stdin(config.to_string()))
    }

    /// ADD as `eth0`.
    ///
    /// # Errors
    /// When the plugin fails or prints no result.
    pub fn add(&self, config: &Value) -> Result<Added, Error> {
        self.add_as("eth0", config)
    }

    /// ADD with another ifname.
    ///
    /// # Errors
    /// As [`Pod::add`].
    pub fn add_as(&self, ifname: &str, config: &Value) -> Result<Added, Error> {
        added(&self.cni("ADD", ifname, config)?.succeeds()?)
    }

    /// DEL of `eth0` without the result of the ADD, as a runtime does it at the end.
    ///
    /// # Errors
    /// When the plugin fails.
    pub fn del(&self, config: &Value) -> Result<(), Error> {
        self.del_as("eth0", config)
    }

    /// DEL of one attachment.
    ///
    /// # Errors
    /// When the plugin fails.
    pub fn del_as(&self, ifname: &str, config: &Value) -> Result<(), Error> {
        self.cni("DEL", ifname, config)?.succeeds().map(drop)
    }

    /// CHECK of `eth0` with the result of its ADD.
    ///
    /// # Errors
    /// When the plugin fails, as when it finds a difference.
    pub fn check(&self, config: &Value, added: &Added) -> Result<(), Error> {
        let mut config = config.clone();
        config["prevResult"] = added.result.clone();
        self.cni("CHECK", "eth0", &config)?.succeeds().map(drop)
    }

    /// Removes the network namespace, as a runtime does when the pod has ended; processes in it keep it alive.
    ///
    /// # Errors
    /// When it was removed already.
    pub fn remove(&self) -> Result<(), Error> {
        let removed = self.node.place().enter(|| -> Result<(), Errno> {
            umount2(&self.netns, MntFlags::MNT_DETACH)?;
            fs::remove_file(&self.netns).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        })?;
        removed.map_err(Error::system(format!("remove pod {}", self.name)))
    }
}

/// Reads the result of an ADD, of CNI 0.3.0 or later.
///
/// # Errors
/// [`Error::Unreadable`] when it is no result.
pub fn added(stdout: &str) -> Result<Added, Error> {
    let unreadable = || Error::Unreadable { from: "the plugin, asked for a result,".into(), said: stdout.into() };
    let result: Value = serde_json::from_str(stdout).map_err(|_| unreadable())?;
    let ips = result["ips"].as_array().ok_or_else(unreadable)?;
    let read = |ip: &Value| ip["address"].as_str().and_then(|text| text.parse().ok());
    let addresses = ips.iter().map(read).collect::<Option<Vec<IpNetwork>>>().ok_or_else(unreadable)?;
    Ok(Added { addresses, result: json!(result) })
}

/// The error object of a plugin (CNI spec, "Error").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The error code.
    pub code: u64,
    /// `msg` and `details` in one text, as a runtime shows them.
    pub text: String,
}

impl Output {
    /// Parses the error that a failed plugin printed: one JSON object on stdout and nothing else.
    ///
    /// # Errors
    /// [`Error::Command`] when it succeeded or printed something else.
    pub fn complaint(self) -> Result<Complaint, Error> {
        let object = serde_json::from_str::<Value>(&self.stdout).ok().filter(|_| !self.success());
        let code = object.as_ref().and_then(|object| object["code"].as_u64());
        let (Some(object), Some(code)) = (object, code) else {
            return Err(self.but("it should have failed with an error object on stdout"));
        };
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        Ok(Complaint { code, text: format!("{}; {}", text("msg"), text("details")) })
    }
}
