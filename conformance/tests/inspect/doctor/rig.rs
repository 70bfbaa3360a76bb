//! A node with an agent and a pod, the doctor's output, and the damages.

use std::fs;
use std::time::Duration;

use netlink::{Request, Route, Socket};
use podlan_conformance::agent::installed;
use podlan_conformance::lab::{Command, Error, Lab, Node, Output, Pod, Running, binaries, eventually, skip};
use serde_json::{Value, json};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A directory of leases outside of the agent's configuration.
pub(crate) const OTHER_STORE: &str = "/run/old";

pub(crate) struct Rig<'a> {
    node: &'a Node,
    pub(crate) agent: Running,
}

fn io<T>(doing: &str, outcome: std::io::Result<T>) -> Result<T, Error> {
    outcome.map_err(|source| Error::System { doing: doing.to_owned(), source })
}

/// The checks that are not ok, in their order.
pub(crate) fn red(said: &Value) -> Vec<&str> {
    let checks = said["checks"].as_array().into_iter().flatten();
    checks
        .filter(|check| check["state"] == "wrong" || check["state"] == "unknown")
        .filter_map(|check| check["check"].as_str())
        .collect()
}

impl<'a> Rig<'a> {
    /// Starts the agent, waits for its conflist, and adds the pod by it.
    pub(crate) fn start(node: &'a Node, web: &Pod<'_>) -> Result<Self, Error> {
        io("make net.d", fs::create_dir_all(node.path("/run/net.d")))?;
        // Damages must stay until the doctor has run.
        let options = ["--no-keep-forwarding", "--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"];
        let agent = node.agent(&options)?;
        web.add(&installed(node)?)?;
        let rig = Self { node, agent };
        rig.is_well()?;
        Ok(rig)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command, Error> {
        Ok(self.node.command(binaries::find("podlan-node")?).arg("doctor").args(arguments))
    }

    /// Whether a client waits at the agent's control socket: the kernel then has a second socket of its name.
    pub(crate) fn is_asked(&self) -> Result<(), String> {
        let sockets = self.node.place().enter(|| std::fs::read_to_string("/proc/thread-self/net/unix"));
        let sockets = sockets.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let of_agent = sockets.lines().filter(|line| line.ends_with("/node.sock")).count();
        if of_agent > 1 { Ok(()) } else { Err(sockets) }
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Result<Running, Error> {
        self.command(arguments)?.spawn()
    }

    fn run(&self, arguments: &[&str]) -> Result<(Value, Output), Error> {
        let output = self.command(&[arguments, &["--json"]].concat())?.run()?;
        let said = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
        Ok((said, output))
    }

    /// The output as JSON; its exit code must match.
    pub(crate) fn doctor(&self, arguments: &[&str]) -> Result<Value, Error> {
        let (said, output) = self.run(arguments)?;
        if said["ok"] != output.success() || said["ok"].is_null() || output.success() != red(&said).is_empty() {
            return Err(output.but("the exit code and what is said should fit"));
        }
        Ok(said)
    }

    /// Waits until everything is ok.
    pub(crate) fn is_well(&self) -> Result<(), Error> {
        eventually(SOON, "everything is ok", || match self.doctor(&[]).map_err(|error| error.to_string())? {
            said if red(&said).is_empty() => Ok(()),
            said => Err(said.to_string()),
        })
    }

    /// One check is red and no other; the text output has these words.
    pub(crate) fn is_red(&self, check: &str, words: &[&str]) -> Result<(), Error> {
        let said = self.doctor(&[])?;
        assert_eq!(red(&said), [check], "{said}");
        let text = self.command(&[])?.fails()?.stdout;
        for word in words.iter().chain(&["WRONG", "why:", "fix:", "\nproblems: "]) {
            assert!(text.contains(word), "{word:?} is missing in\n{text}");
        }
        Ok(())
    }

    /// The name of the pod's host end.
    pub(crate) fn pod_link(&self) -> Result<String, Error> {
        let network = self.node.network()?;
        let names = network.lines(&["link", "veth"]).into_iter().filter_map(|line| line.split(' ').nth(1));
        Ok(names.filter(|name| name.starts_with("podl")).map(str::to_owned).next().unwrap_or_default())
    }

    /// The pod's IPv4 address, by its lease.
    pub(crate) fn pod_address(&self) -> Result<String, Error> {
        let leases = self.node.command(binaries::find("podlan-node")?).args(["leases"]).succeeds()?;
        let words = leases.split_whitespace().filter(|word| word.starts_with("10.244."));
        Ok(words.map(str::to_owned).next().unwrap_or_default())
    }

    /// Writes a setting of the node's kernel.
    pub(crate) fn write(&self, path: &str, value: &str) -> Result<(), Error> {
        io(&format!("write {path}"), self.node.place().enter(|| fs::write(path, value))?)
    }

    /// Replaces a file below the node's /run, atomically.
    pub(crate) fn put(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = self.node.path(&format!("/run/{path}"));
        let beside = path.with_extension("new");
        io("write a file", fs::write(&beside, bytes))?;
        io("let it be run", fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o755)))?;
        io("put a file in place", fs::rename(&beside, &path))
    }

    pub(crate) fn remove(&self, path: &str) -> Result<(), Error> {
        io("remove a file", fs::remove_file(self.node.path(&format!("/run/{path}"))))
    }

    /// Runs nft(8); false where there is none.
    pub(crate) fn nft(&self, words: &str) -> Result<bool, Error> {
        let nft =
            ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
        let Some(nft) = nft else {
            skip("nft is missing (Debian: apt-get install nftables)");
            return Ok(false);
        };
        self.node.command(nft).args(words.split(' ')).succeeds()?;
        Ok(true)
    }

    fn route(&self, doing: &str, request: impl FnOnce() -> Request + Send) -> Result<(), Error> {
        let done = self.node.place().enter(|| -> Result<(), String> {
            let mut socket = Socket::open().map_err(|error| error.to_string())?;
            let verdicts = socket.request(&mut [request()]).map_err(|error| error.to_string())?;
            verdicts.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
        })?;
        done.map_err(|said| Error::Unreadable { from: doing.to_owned(), said })
    }

    pub(crate) fn add(&self, route: &Route) -> Result<(), Error> {
        self.route("add a route", || route.add())
    }

    /// As `ip route replace`.
    pub(crate) fn replace(&self, route: &Route) -> Result<(), Error> {
        self.route("replace a route", || route.replace())
    }

    /// Replaces the agent's list of nodes and waits until its state has `word`.
    pub(crate) fn list(&self, lab: &Lab, items: &[Value], word: &str) -> Result<(), Error> {
        lab.write_nodes(&json!({ "kind": "NodeList", "items": items }).to_string())?;
        eventually(SOON, &format!("the agent reports {word}"), || {
            let said = self.node.command(binaries::find("podlan-node").map_err(|error| error.to_string())?);
            let said = said.args(["status", "--json"]).run().map_err(|error| error.to_string())?.stdout;
            if said.contains(word) { Ok(()) } else { Err(said) }
        })
    }

    /// Makes the agent's last state as old as the boot.
    pub(crate) fn silence(&self) -> Result<(), Error> {
        let path = self.node.path("/run/podlan/node.json");
        let text = io("read the agent's state", fs::read_to_string(&path))?;
        let mut said: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        said["bootTime"] = json!(0);
        self.put("podlan/node.json", said.to_string())
    }

    /// Gives a pod an address from the other store, and removes the pod and its link.
    pub(crate) fn kill(&self, pod: &Pod<'_>) -> Result<(), Error> {
        let mut config = self.node.podnet();
        config["name"] = json!("old");
        config["ipam"]["dataDir"] = json!(OTHER_STORE);
        config["ipam"]["ranges"] =
            json!([[{ "subnet": self.node.pod_cidrs()[0].to_string(), "rangeStart": "10.244.1.200" }]]);
        let links = || -> Result<usize, Error> { Ok(self.node.network()?.lines(&["link", "veth"]).len()) };
        let before = links()?;
        pod.add(&config)?;
        pod.remove()?;
        eventually(SOON, "its link is gone", || match links() {
            Ok(now) if now == before => Ok(()),
            now => Err(format!("{now:?}")),
        })
    }
}
