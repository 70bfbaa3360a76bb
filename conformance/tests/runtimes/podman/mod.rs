//! podlan under podman 4, the last podman that runs CNI plugins: containers of a plain root file system, without images,
//! cgroups or registries. `scripts/beside podman` fetches it, PODLAN_PODMAN names its folder.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use podlan_conformance::lab::{self, Error, Lab, Node, Place, binaries, within};
use serde_json::{Value, json};

/// Its network, its runtime, and none of the machine's cgroups.
const CONFIG: &str = r#"
[containers]
cgroups = "disabled"
cgroupns = "host"
apparmor_profile = ""
seccomp_profile = "unconfined"
[network]
network_backend = "cni"
cni_plugin_dirs = ["@DIR@/bin"]
network_config_dir = "@DIR@/net.d"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
conmon_path = ["@PODMAN@/bin/conmon"]
runtime = "lab"
runtime_supports_json = ["lab"]
runtime_supports_nocgroup = ["lab"]
[engine.runtimes]
lab = ["@RUNC@"]
"#;

/// Its directory; `None` is a reported skip, in CI as well: what another Debian suite provides cannot be relied on.
fn find() -> Option<PathBuf> {
    let found = std::env::var_os("PODLAN_PODMAN").map(PathBuf::from);
    if found.is_none() {
        lab::set_aside("missing podman 4: export PODLAN_PODMAN=$(scripts/beside podman)");
    }
    found
}

/// A podman on a lab node, with podlan as its network `podnet`.
struct Podman<'a> {
    node: &'a Node,
    home: PathBuf,
    directory: PathBuf,
}

impl<'a> Podman<'a> {
    fn new(node: &'a Node, home: &Path) -> Self {
        let directory = PathBuf::from(lab::SHARED).join("podman");
        for folder in ["bin", "net.d", "tmp", "root/bin", "root/proc", "root/sys", "root/dev", "root/etc", "root/run"] {
            fs::create_dir_all(directory.join(folder)).unwrap();
        }
        for program in ["podlan-lab", "podlan-lab-inside"] {
            fs::copy(binaries::find(program).unwrap(), directory.join("root/bin").join(program)).unwrap();
        }
        symlink(binaries::find("podlan").unwrap(), directory.join("bin/podlan")).unwrap();
        let mut podnet = node.podnet();
        podnet["cniVersion"] = json!("0.4.0");
        let name = podnet.as_object_mut().unwrap().remove("name");
        let conflist = json!({"cniVersion": "0.4.0", "name": name, "plugins": [podnet]});
        fs::write(directory.join("net.d/10-podnet.conflist"), conflist.to_string()).unwrap();
        let config = CONFIG
            .replace("@DIR@", directory.to_str().unwrap())
            .replace("@PODMAN@", home.to_str().unwrap())
            .replace("@RUNC@", env!("CARGO_BIN_EXE_podlan-lab-runc"));
        fs::write(directory.join("containers.conf"), config).unwrap();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/storage\"\nrunroot = \"{0}/runroot\"\n",
            directory.display()
        );
        fs::write(directory.join("storage.conf"), storage).unwrap();
        Self { node, home: home.to_owned(), directory }
    }

    fn podman(&self, words: &[&str]) -> Result<String, Error> {
        let podman = self.node.command(self.home.join("bin/podman")).args(words);
        let podman = podman.env("TMPDIR", self.directory.join("tmp"));
        let podman = podman.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        podman.env("CONTAINERS_STORAGE_CONF", self.directory.join("storage.conf")).succeeds()
    }

    fn run(&self, name: &str) -> Result<Container, Error> {
        let root = self.directory.join("root");
        let root = root.to_str().unwrap();
        self.podman(&[
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "podnet",
            "--rootfs",
            root,
            "/bin/podlan-lab",
            "serve",
        ])?;
        self.inspect(name)
    }

    fn inspect(&self, name: &str) -> Result<Container, Error> {
        let said = self.podman(&["inspect", name, "--format", "{{json .NetworkSettings}}"])?;
        let settings: Value = serde_json::from_str(&said).unwrap();
        let network = &settings["Networks"]["podnet"];
        assert_eq!([&network["Gateway"], &network["IPv6Gateway"]], ["169.254.1.1", "fe80::1"], "{said}");
        let address = |key: &str| network[key].as_str().unwrap().parse().unwrap();
        let netns = Path::new(settings["SandboxKey"].as_str().unwrap()).to_owned();
        Ok(Container {
            place: self.node.place().netns(name, &netns),
            ips: vec![address("IPAddress"), address("GlobalIPv6Address")],
        })
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.podman(&["rm", "--force", "--time", "0", name]).map(|_| ())
    }
}

/// A running container.
struct Container {
    place: Place,
    ips: Vec<IpAddr>,
}

fn leases(node: &Node) -> Vec<IpAddr> {
    let places = ipam::places(&node.path(ipam::DEFAULT_DATA_DIR)).unwrap();
    places.iter().flat_map(|place| ipam::leases(place).unwrap()).map(|lease| lease.address.ip()).collect()
}

/// The state after podman rm; the kernel's own routes to the uplink's addresses come with forwarding.
fn is_left(node: &Node, before: &lab::Snapshot) -> Result<String, Error> {
    let since = node.network()?.since(before);
    let ours = |line: &&str| !(line.contains(" dev eth0 ") && line.ends_with(" table 255"));
    Ok(since.lines().filter(ours).collect::<Vec<_>>().join("\n"))
}

#[test]
fn containers_of_podman_reach_each_other_at_their_own_addresses_and_leave_nothing() {
    let Some(home) = find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let podman = Podman::new(node, &home);
        let before = node.network()?;
        let (one, two) = (podman.run("one")?, podman.run("two")?);
        assert_eq!(leases(node).len(), 4);
        one.place.reaches(&one.ips, &two.ips)?;
        two.place.reaches(&two.ips, &one.ips)?;
        node.reaches(&[one.ips.clone(), two.ips.clone()].concat())?;

        podman.remove("one")?;
        let third = podman.run("three")?;
        assert!(
            third.ips.iter().all(|ip| !one.ips.contains(ip) && !two.ips.contains(ip)),
            "a released address is not given again at once"
        );
        node.reaches(&[two.ips, third.ips].concat())?;
        podman.remove("two")?;
        podman.remove("three")?;
        assert_eq!(leases(node), [] as [IpAddr; 0]);
        assert_eq!(is_left(node, &before)?, "");
        Ok(())
    });
}

/// `podman network reload`: DEL and ADD in the same namespace, with the container's former addresses.
#[test]
fn a_reloaded_container_keeps_its_addresses() {
    let Some(home) = find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let podman = Podman::new(node, &home);
        let before = podman.run("one")?.ips;
        podman.podman(&["network", "reload", "one"])?;
        let after = podman.inspect("one")?.ips;
        assert_eq!(after, before);
        node.reaches(&after)?;
        podman.remove("one")
    });
}
