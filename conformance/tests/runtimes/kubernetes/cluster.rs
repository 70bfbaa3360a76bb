//! The cluster: its control plane, its machines, and the operator's actions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use podlan_conformance::lab::{Command, Error, Node, Running, SHARED, binaries, eventually};
use serde_json::Value;

use crate::containerd_2::image::{self, File};
use crate::containerd_2::parts::Parts;
use crate::kubernetes::IMAGE;
use crate::kubernetes::machine::{AUTHORITY, Machine, Outfit};
use crate::kubernetes::server::{ADMIN, FRONT, Server, User};
use crate::kubernetes::settings::{self, KUBELETS, MANAGER, POD_CIDRS, PROXY, SCHEDULER, SERVICE_CIDRS};

/// The deadline for whatever a cluster does by itself, on a busy machine.
pub const WHILE: Duration = Duration::from_secs(180);

/// The lab's programs in the pods' image.
pub const LAB: &str = "/bin/podlan-lab";
pub const INSIDE: &str = "/bin/podlan-lab-inside";

/// Starts the API server and its etcd.
pub fn control_plane(node: &Node) -> Result<Server<'_>, Error> {
    Server::start(node, settings::control_plane())
}

pub struct Cluster<'a> {
    pub server: &'a Server<'a>,
    pub machines: Vec<Machine>,
    parts: &'a Parts,
    manager: Running,
    scheduler: Running,
}

impl<'a> Cluster<'a> {
    /// Starts the controllers and three machines; the first is that of the control plane.
    pub fn start(server: &'a Server<'a>, parts: &'a Parts) -> Result<Self, Error> {
        let folder = server.node.path("/run/kubernetes");
        let access = |file: &str, user: User| {
            fs::write(folder.join(file), server.kubeconfig(user).to_string())
                .map_err(|source| Error::System { doing: format!("write {file}"), source })
        };
        access("admin.conf", ADMIN)?;
        access("manager.conf", MANAGER)?;
        access("scheduler.conf", SCHEDULER)?;
        let program = |name: &str| server.node.command(server.programs.join(name));
        let manager = program("kube-controller-manager")
            .args(["--kubeconfig", "/run/kubernetes/manager.conf", "--leader-elect=false"])
            .args(["--allocate-node-cidrs", "--cluster-cidr", POD_CIDRS, "--service-cluster-ip-range", SERVICE_CIDRS])
            .args(["--node-cidr-mask-size-ipv4", "24", "--node-cidr-mask-size-ipv6", "64"])
            .args(["--service-account-private-key-file", "/run/kubernetes/signing.pem"])
            .args(["--root-ca-file", "/run/kubernetes/pki-6443/apiserver.crt"])
            .args([
                "--node-monitor-grace-period=20s",
                "--node-monitor-period=2s",
                "--cert-dir",
                "/run/kubernetes/pki-m",
            ])
            .args(["--kube-api-qps=200", "--kube-api-burst=400", "--authorization-always-allow-paths=*"])
            .spawn()?;
        let scheduler = program("kube-scheduler")
            .args(["--kubeconfig", "/run/kubernetes/scheduler.conf", "--leader-elect=false"])
            .args(["--cert-dir", "/run/kubernetes/pki-s", "--kube-api-qps=200", "--kube-api-burst=400"])
            .spawn()?;
        let mut cluster = Self { server, machines: Vec::new(), parts, manager, scheduler };
        let images = images()?;
        for number in 1..=3 {
            let node = if number == 1 { server.node.clone() } else { Node::new(number)? };
            let machine = Machine::new(node, &cluster.outfit(usize::from(number) - 1), &images)?;
            cluster.machines.push(machine);
        }
        Ok(cluster)
    }

    fn outfit(&self, index: usize) -> Outfit<'a> {
        let access = |user| {
            let mut access = self.server.kubeconfig(user);
            access["clusters"][0]["cluster"]["certificate-authority"] = AUTHORITY.into();
            access
        };
        let (parts, programs) = (self.parts, &self.server.programs);
        let authority = self.server.node.path("/run/kubernetes/pki-6443/apiserver.crt");
        Outfit { parts, programs, authority, kubelet: access(KUBELETS[index]), proxy: access(PROXY) }
    }

    /// Restarts a node's kubelet; its pods keep running.
    pub fn restart_kubelet(&mut self, index: usize) -> Result<(), Error> {
        let outfit = self.outfit(index);
        self.machines[index].restart_kubelet(&outfit)
    }

    /// A power failure of a node, and its restart.
    pub fn reboot(&mut self, index: usize) -> Result<(), Error> {
        let machine = self.machines.remove(index).reboot(&self.outfit(index))?;
        self.machines.insert(index, machine);
        Ok(())
    }

    /// kubectl, as the admin on the first node.
    pub fn kubectl(&self, words: &[&str]) -> Command {
        let kubectl = self.server.node.command(self.server.programs.join("kubectl"));
        kubectl.env("KUBECONFIG", "/run/kubernetes/admin.conf").env("HOME", "/run").args(words).deadline(WHILE)
    }

    /// A script of this repository that takes the arguments of kubectl, as the admin on the first node.
    pub fn script(&self, name: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name);
        let kubectl = self.server.programs.join("kubectl");
        let command = self.server.node.command(script).env("HOME", "/run").deadline(WHILE);
        command.arg(kubectl).args(["--kubeconfig", "/run/kubernetes/admin.conf"])
    }

    /// Imports an image on each machine, from an archive of these bytes at this path.
    pub fn import(&self, archive: &Path, bytes: &[u8]) -> Result<(), Error> {
        fs::write(archive, bytes)
            .map_err(|source| Error::System { doing: format!("write {}", archive.display()), source })?;
        self.machines.iter().try_for_each(|machine| machine.import(archive))
    }

    /// The body of the answer to an API path.
    pub fn get(&self, path: &str) -> Result<Value, Error> {
        self.server.call(FRONT, Method::GET, path, &Value::Null)
    }

    /// The items of a list.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        Ok(self.get(path)?["items"].as_array().cloned().unwrap_or_default())
    }

    pub fn create(&self, path: &str, object: &Value) -> Result<(), Error> {
        self.server.call(FRONT, Method::POST, path, object).map(drop)
    }

    pub fn delete(&self, path: &str) -> Result<(), Error> {
        self.server.call(FRONT, Method::DELETE, path, &Value::Null).map(drop)
    }

    /// Waits for a fact; polls only a few times a second, as each poll is a call of the API.
    pub fn until<T>(&self, fact: &str, mut look: impl FnMut() -> Result<T, String>) -> Result<T, Error> {
        let mut first = true;
        eventually(WHILE, fact, || {
            if !std::mem::take(&mut first) {
                std::thread::sleep(Duration::from_millis(250));
            }
            look()
        })
    }

    /// Prints the state when a check has failed: nodes, pods, events, the last log lines of each program.
    pub fn explain(&self) {
        let ask = |words: &[&str]| self.kubectl(words).run().map_or_else(|error| error.to_string(), |said| said.stdout);
        let mut state = ask(&["get", "nodes,pods,services", "-A", "-o", "wide"]);
        state += &ask(&["get", "events", "-A", "--sort-by=.lastTimestamp"]);
        state += &ask(&["logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=podlan", "--tail=30", "--prefix"]);
        self.machines.iter().for_each(|machine| state += &machine.explain());
        for (name, running) in [("manager", &self.manager), ("scheduler", &self.scheduler)] {
            let said = running.stderr();
            let lines: Vec<&str> = said.lines().collect();
            state += &format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        crate::kubernetes::sequence::print_error(&state);
    }
}

/// The archives on each node: podlan's as it ships, and one with the programs of the test's pods.
fn images() -> Result<Vec<PathBuf>, Error> {
    let (traffic, inside) = (binaries::find("podlan-lab")?, binaries::find("podlan-lab-inside")?);
    let files = [File { target: &LAB[1..], source: &traffic }, File { target: &INSIDE[1..], source: &inside }];
    let pods = Path::new(SHARED).join("pods.tar");
    fs::write(&pods, image::archive(&files, &[INSIDE, "pause"]))
        .map_err(|source| Error::System { doing: "write the pods' image".into(), source })?;
    Ok(vec![PathBuf::from(std::env::var_os(IMAGE).unwrap_or_default()), pods])
}
