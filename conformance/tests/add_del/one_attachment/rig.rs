//! A node with room for one pod, the calls for it, and the law.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use cni::{Attachment, ContainerId, Ifname, NetworkName};
use ipam::{Lease, Place};
use podlan_conformance::lab::{Command, Error, Node, Output, Pod, Running, Snapshot, added, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A call for the attachment of `web`, or of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Add,
    Del,
    Gc,
    /// DEL, and ADD where it succeeded.
    DelThenAdd,
}

pub(crate) struct Rig<'lab> {
    pub(crate) node: &'lab Node,
    web: RefCell<Pod<'lab>>,
    config: Value,
    before: Snapshot,
}

fn wrong(what: String, said: String) -> Error {
    Error::Unreadable { from: what, said }
}

impl<'lab> Rig<'lab> {
    pub(crate) fn new(node: &'lab Node) -> Result<Self, Error> {
        let mut config = node.podnet();
        config["cniVersion"] = json!("1.1.0");
        config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/30" }], [{ "subnet": "fd00:10:244:1::/126" }]]);
        let web = node.pod("web")?;
        // What an ADD switches on for good.
        web.add(&config)?;
        web.del(&config)?;
        Ok(Self { node, web: RefCell::new(web), config, before: node.network()? })
    }

    pub(crate) fn config(&self) -> &Value {
        &self.config
    }

    /// The call, ready to run.
    pub(crate) fn command(&self, call: Call) -> Result<Command, Error> {
        let web = self.web.borrow();
        match call {
            Call::Add => web.cni("ADD", "eth0", &self.config),
            Call::Del => web.cni("DEL", "eth0", &self.config),
            Call::DelThenAdd => {
                let add = web.cni("ADD", "eth0", &self.config)?;
                Ok(add.under(
                    "sh",
                    ["-c", "input=$(cat); echo \"$input\" | CNI_COMMAND=DEL \"$0\" && echo \"$input\" | \"$0\""],
                ))
            }
            Call::Gc => {
                let mut config = self.config.clone();
                config["cni.dev/valid-attachments"] = json!([]);
                let gc = web.cni("GC", "", &config)?;
                Ok(gc.without_env("CNI_CONTAINERID").without_env("CNI_NETNS").without_env("CNI_IFNAME"))
            }
        }
    }

    pub(crate) fn start(&self, call: Call) -> Result<Running, Error> {
        self.command(call)?.spawn()
    }

    pub(crate) fn remove_pod(&self) -> Result<(), Error> {
        self.web.borrow().remove()
    }

    pub(crate) fn make_pod(&self) -> Result<(), Error> {
        *self.web.borrow_mut() = self.node.pod("web")?;
        Ok(())
    }

    fn leases_of(&self, container: &str) -> Result<Vec<Lease>, Error> {
        let unreadable = |error: String| wrong("the lease store".into(), error);
        let network = NetworkName::parse("podnet").map_err(|error| unreadable(error.to_string()))?;
        let container_id = ContainerId::parse(container).map_err(|error| unreadable(error.to_string()))?;
        let ifname = Ifname::parse("eth0").map_err(|error| unreadable(error.to_string()))?;
        let place = Place::new(self.node.path("/run/podlan"), network);
        ipam::leases_of(&place, &Attachment { container_id, ifname }).map_err(|error| unreadable(error.to_string()))
    }

    /// Whether the pod has its link with each address of its leases, and the node has the routes to them.
    fn state(&self, pod: &Pod<'_>) -> Result<(Vec<IpAddr>, String), Error> {
        let leases = self.leases_of(pod.name())?;
        let held: Vec<IpAddr> = leases.iter().map(|lease| lease.address.ip()).collect();
        let (node, inside) = (self.node.network()?, pod.network()?);
        let mut missing = Vec::new();
        if inside.lines(&["link", "eth0"]).is_empty() {
            missing.push("the pod's link".to_owned());
        }
        for ip in &held {
            let length = if ip.is_ipv4() { 32 } else { 128 };
            if inside.lines(&["address", &format!("{ip}/{length}"), "eth0"]).is_empty() {
                missing.push(format!("{ip} in the pod"));
            }
            if node.lines(&["route", &format!("{ip}/{length}")]).is_empty() {
                missing.push(format!("the route to {ip}"));
            }
        }
        Ok((held, missing.join(", ")))
    }

    /// The law, once all calls have ended. Returns how many ADDs succeeded.
    pub(crate) fn judge(&self, when: &str, ended: &[(Call, Output)]) -> Result<usize, Error> {
        let mut successes = Vec::new();
        for (call, output) in ended {
            match call {
                Call::Add | Call::DelThenAdd if output.success() => successes.push(added(&output.stdout)?.ips()),
                Call::Add | Call::DelThenAdd => {
                    let code = output.clone().complaint()?.code;
                    if !matches!(code, 11 | 100 | 102 | 104) {
                        return Err(output.clone().but(&format!("{when}: the code of a call that lost")));
                    }
                }
                Call::Del | Call::Gc if output.success() => {}
                Call::Del | Call::Gc => return Err(output.clone().but(&format!("{when}: it should succeed"))),
            }
        }
        let removed = ended.iter().any(|(call, _)| matches!(call, Call::Del | Call::Gc));
        let said: Vec<String> = ended.iter().map(|(call, output)| format!("{call:?}: {}", output.stdout)).collect();
        // A link takes a moment to disappear.
        eventually(Duration::from_secs(5), &format!("{when}: it is whole or gone\n{}", said.join("\n")), || {
            let (held, missing) = self.state(&self.web.borrow()).map_err(|error| error.to_string())?;
            let left = self.node.network().map_err(|error| error.to_string())?.since(&self.before);
            match (held.is_empty(), left.is_empty()) {
                (false, _) if !missing.is_empty() => Err(format!("{held:?} is leased, and there is not {missing}")),
                (false, _) if successes.is_empty() => Err(format!("{held:?} is leased, and no ADD succeeded")),
                // An ADD that succeeded before a DEL released everything may have had other addresses.
                (false, _) if successes.iter().all(|ips| *ips != held) || !removed && successes.len() > 1 => {
                    Err(format!("{successes:?} were given, and {held:?} is leased"))
                }
                (false, _) => Ok(()),
                (true, false) => Err(format!("nothing is leased, and there is\n{left}")),
                (true, true) if successes.is_empty() || removed => Ok(()),
                (true, true) => Err("an ADD succeeded, and nothing is there".to_owned()),
            }
        })?;
        Ok(successes.len())
    }

    /// The law where the pod was added before the calls: a call that failed leaves it unchanged.
    pub(crate) fn judge_present(&self, when: &str, ended: &[(Call, Output)]) -> Result<(), Error> {
        let said: Vec<String> = ended.iter().map(|(call, output)| format!("{call:?}: {}", output.stdout)).collect();
        eventually(Duration::from_secs(5), &format!("{when}: it is whole or gone\n{}", said.join("\n")), || {
            let (held, missing) = self.state(&self.web.borrow()).map_err(|error| error.to_string())?;
            let left = self.node.network().map_err(|error| error.to_string())?.since(&self.before);
            match (held.is_empty(), left.is_empty()) {
                (false, _) if !missing.is_empty() => Err(format!("{held:?} is leased, and there is not {missing}")),
                (true, false) => Err(format!("nothing is leased, and there is\n{left}")),
                _ => Ok(()),
            }
        })
    }

    /// Sets how many seconds a call waits for the store's lock.
    pub(crate) fn wait_for_the_lock(&mut self, seconds: u32) {
        self.config["ipam"]["lockTimeout"] = json!(seconds);
    }

    /// The pod of an ADD that succeeded has everything that was reported.
    pub(crate) fn is_whole(&self, when: &str, pod: &Pod<'_>, output: &Output) -> Result<(), Error> {
        let (held, missing) = self.state(pod)?;
        if missing.is_empty() && held == added(&output.stdout)?.ips() {
            return Ok(());
        }
        Err(output.clone().but(&format!("{when}: whole, but {held:?} is leased and there is not {missing}")))
    }

    /// Nothing is left of `web`, whose network namespace is gone; the next pod may be complete.
    pub(crate) fn nothing_is_left(&self, when: &str, web: &Output, other: &Output) -> Result<(), Error> {
        let said = format!("{when}: nothing of it is left\nweb: {}\nnext: {}", web.stdout, other.stdout);
        eventually(SOON, &said, || {
            let held = self.leases_of("web").map_err(|error| error.to_string())?;
            let now = self.node.network().map_err(|error| error.to_string())?.since(&self.before);
            let left: Vec<&str> = now.lines().filter(|line| line.contains(" web eth0")).collect();
            if held.is_empty() && left.is_empty() { Ok(()) } else { Err(format!("{held:?}\n{now}")) }
        })
    }

    /// DEL ends it: the node is as it was, and the only address is free.
    pub(crate) fn clean(&self) -> Result<(), Error> {
        self.web.borrow().del(&self.config)?;
        eventually(SOON, "all is as before after DEL", || {
            let left = self.node.network().map_err(|error| error.to_string())?.since(&self.before);
            let held = self.leases_of("web").map_err(|error| error.to_string())?;
            if left.is_empty() && held.is_empty() { Ok(()) } else { Err(format!("{held:?}\n{left}")) }
        })
    }
}
