//! A fresh root file system on a node of the lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podlan_conformance::lab::{Command, Error, Node, eventually};
use serde_json::Value;

use crate::release::{COMPLETE, VERSION, named};

const SOON: Duration = Duration::from_secs(30);

/// The folder of the root is the node's own; what is in it is used by chroot(8).
pub(crate) struct Root<'a> {
    node: &'a Node,
    path: PathBuf,
}

/// The folder of a root of Debian that nobody has used; without scripts/test-packages the test is set aside.
pub(crate) fn fresh(name: &str) -> Option<PathBuf> {
    named("PODLAN_FRESH_ROOTS").map(|roots| roots.join(name))
}

impl<'a> Root<'a> {
    pub(crate) fn new(node: &'a Node, path: PathBuf) -> Result<Self, Error> {
        for kernel in ["proc", "sys", "dev"] {
            fs::create_dir_all(path.join(kernel)).unwrap();
            node.command("mount").args(["--rbind", &format!("/{kernel}")]).arg(path.join(kernel)).succeeds()?;
        }
        Ok(Self { node, path })
    }

    /// A program of the root itself.
    pub(crate) fn own(&self, program: &str) -> Command {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        self.node.command("chroot").env("PATH", path).env("LC_ALL", "C.UTF-8").arg(&self.path).arg(program)
    }

    /// What `program` prints; it must succeed.
    pub(crate) fn says(&self, program: &str, words: &[&str]) -> Result<String, Error> {
        self.own(program).args(words).succeeds()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether nothing is there, not even a broken link.
    pub(crate) fn lacks(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_err()
    }

    /// Copies `file` of the machine to /tmp of the root; its path there.
    pub(crate) fn take(&self, file: &Path) -> String {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        fs::copy(file, self.at("/tmp").join(&name)).unwrap();
        format!("/tmp/{name}")
    }

    /// What an administrator finds after the installation: programs, pages, a unit that is enabled and does not start yet.
    pub(crate) fn is_installed(&self) -> Result<(), Error> {
        let version = self.says("podlan-node", &["--version"])?;
        assert!(version.starts_with(&format!("podlan-node {VERSION} (commit ")), "{version}");
        for plugin in ["/usr/libexec/podlan/podlan", "/usr/libexec/podlan/podlan-ipam"] {
            let output = self.own(plugin).env("CNI_COMMAND", "VERSION").stdin("{}").succeeds()?;
            assert!(output.contains("supportedVersions"), "{plugin}: {output}");
        }
        for page in ["podlan-node", "podlan-node-run", "podlan-node-doctor"] {
            let found = self.says("man", &["--where", page])?;
            assert_eq!(found.trim(), format!("/usr/share/man/man8/{page}.8.gz"));
        }
        let shown = self.says("man", &["podlan-node-run"])?;
        assert!(shown.contains("--masquerade"), "{shown}");
        let completion = "/usr/share/bash-completion/completions/podlan-node";
        assert_eq!(self.says("bash", &["-c", COMPLETE, "bash", completion])?, "doctor\n--kernel\n");

        assert_eq!(self.says("systemctl", &["is-enabled", "podlan-node"])?.trim(), "enabled");
        let verified = self.own("systemd-analyze").args(["verify", "podlan-node.service"]).run()?;
        let about_ours = verified.stderr.lines().filter(|line| line.contains("podlan")).collect::<Vec<_>>();
        assert!(verified.success() && about_ours.is_empty(), "{}", verified.report());
        assert!(self.unit().contains("\nConditionPathExists=/etc/podlan/nodes.yaml\n"), "{}", self.unit());
        assert!(self.lacks("/etc/podlan/nodes.yaml"), "nothing starts before it is configured");
        Ok(())
    }

    fn unit(&self) -> String {
        self.read("/usr/lib/systemd/system/podlan-node.service")
    }

    /// Writes the list of nodes by the example, and runs the unit's command as systemd does: the agent installs the plugins
    /// and writes the network configuration.
    pub(crate) fn works(&self) -> Result<(), Error> {
        let example = self.read("/etc/podlan/nodes.yaml.example");
        let [v4, v6] = [self.node.v4(), self.node.v6()].map(|address| address.to_string());
        let list = example.replace("192.0.2.1}", &format!("{v4}}}")).replace("\"2001:db8::1\"", &format!("\"{v6}\""));
        assert_ne!(example, list, "the example has the addresses that documentation has");
        fs::write(self.at("/etc/podlan/nodes.yaml"), list).unwrap();
        let settings = self.read("/etc/podlan/podlan-node.env");
        let named = settings.replace("#NODE_NAME=", "NODE_NAME=");
        assert_ne!(settings, named);
        fs::write(self.at("/etc/podlan/podlan-node.env"), &named).unwrap();

        let unit = self.unit();
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let set = named.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        let options = set.clone().find(|(name, _)| *name == "PODLAN_OPTIONS").unwrap().1;
        let line = start.replace("$PODLAN_OPTIONS", options);
        let mut words = line.split_whitespace();
        let mut agent = self.own(words.next().unwrap()).args(words);
        for (name, value) in set {
            agent = agent.env(name, value);
        }
        let agent = agent.spawn()?;
        let conflist = self.at("/etc/cni/net.d/10-podlan.conflist");
        let text = eventually(SOON, "the network configuration is written", || {
            fs::read_to_string(&conflist).map_err(|error| error.to_string())
        })?;
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.1.0/24", "{text}");
        for name in ["podlan", "podlan-ipam"] {
            let installed = fs::read(self.at("/opt/cni/bin").join(name)).unwrap();
            assert!(installed == fs::read(self.at("/usr/libexec/podlan").join(name)).unwrap(), "{name}");
        }
        let kernel = self.own("podlan-node").args(["doctor", "--kernel"]).run()?;
        assert!(kernel.stdout.contains("CONFIG_VETH"), "{}", kernel.report());
        agent.stop(SOON)?;
        Ok(())
    }
}
