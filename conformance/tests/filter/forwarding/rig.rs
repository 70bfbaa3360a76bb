//! Two nodes with an agent and a pod each, and the facts that are read from them.

use std::fs;
use std::time::Duration;

use podlan_conformance::agent::{METRICS, metrics, status};
use podlan_conformance::lab::{Added, Error, Lab, Node, Pod, Running, binaries, eventually};

/// Long enough for a busy machine; `--resync` is a minute, so that events alone can be so quick.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const V4: &str = "/proc/sys/net/ipv4/ip_forward";
pub(crate) const V6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// IPv4 forwarding of what comes in by one link.
pub(crate) fn conf_v4(link: &str) -> String {
    format!("/proc/sys/net/ipv4/conf/{link}/forwarding")
}

/// Writes a sysctl of a node.
pub(crate) fn set(node: &Node, path: &str, value: &str) -> Result<(), Error> {
    let written = node.place().enter(|| fs::write(path, value))?;
    written.map_err(|source| Error::System { doing: format!("write {path} on {}", node.name()), source })
}

pub(crate) struct Rig<'a> {
    node: &'a Node,
    web: &'a Pod<'a>,
    db: &'a Pod<'a>,
    pub(crate) agent: Running,
    pub(crate) at_web: Added,
    pub(crate) at_db: Added,
    _others: [Running; 3],
}

impl<'a> Rig<'a> {
    pub(crate) fn start(
        node: &'a Node,
        other: &'a Node,
        web: &'a Pod<'a>,
        db: &'a Pod<'a>,
        options: &[&str],
    ) -> Result<Self, Error> {
        let agent = node.agent(&[&["--listen", &METRICS.to_string()], options].concat())?;
        Self::with(node, other, web, db, agent)
    }

    /// With the agent as a container has it: CAP_NET_ADMIN alone, and no mount that it can write but its run directory.
    pub(crate) fn start_confined(
        node: &'a Node,
        other: &'a Node,
        web: &'a Pod<'a>,
        db: &'a Pod<'a>,
    ) -> Result<Self, Error> {
        let folder = "/run/podlan";
        let made = fs::create_dir_all(node.path(folder));
        made.map_err(|source| Error::System { doing: format!("make {folder}"), source })?;
        let agent = node
            .command(binaries::find("podlan-node")?)
            .args(["run", "--node-name", node.name(), "--nodes", Lab::NODES_FILE, "--listen", &METRICS.to_string()])
            .under("setpriv", ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+net_admin"])
            .under(&binaries::lab()?.display().to_string(), ["read-only", "--but", folder, "--"])
            .spawn()?;
        Self::with(node, other, web, db, agent)
    }

    fn with(node: &'a Node, other: &'a Node, web: &'a Pod<'a>, db: &'a Pod<'a>, agent: Running) -> Result<Self, Error> {
        let others = [other.agent(&[])?, web.serve()?, db.serve()?];
        let (at_web, at_db) = (web.add(&node.podnet())?, db.add(&other.podnet())?);
        let rig = Self { node, web, db, agent, at_web, at_db, _others: others };
        eventually(SOON, "web and db reach each other", || rig.passes().map_err(|error| error.to_string()))?;
        Ok(rig)
    }

    /// Both ways, both families, with the pods' own addresses.
    pub(crate) fn passes(&self) -> Result<(), Error> {
        self.web.reaches(&self.at_web, &self.at_db.ips())?;
        self.db.reaches(&self.at_db, &self.at_web.ips())
    }

    /// The name of web's link on the node.
    pub(crate) fn pod_link(&self) -> Result<String, Error> {
        let text = self.node.command("ip").args(["-o", "route", "get", &self.at_web.v4()?.to_string()]).succeeds()?;
        let name = text.split(" dev ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(name.unwrap_or_default().to_owned())
    }

    pub(crate) fn becomes(&self, setting: &str, value: &str) -> Result<(), Error> {
        eventually(SOON, &format!("{setting} is {value}"), || match self.node.sysctl(setting) {
            Ok(now) if now == value => Ok(()),
            other => Err(format!("{other:?}\n{}", self.agent.stderr())),
        })
    }

    /// The warnings of `status`, as JSON.
    pub(crate) fn warnings(&self) -> Result<String, Error> {
        Ok(status(self.node)?["warnings"].to_string())
    }

    pub(crate) fn warns(&self, fits: impl Fn(&str) -> bool) -> Result<(), Error> {
        eventually(SOON, "status warns as it should", || match self.warnings() {
            Ok(warnings) if fits(&warnings) => Ok(()),
            other => Err(format!("{other:?}\n{}", self.agent.stderr())),
        })
    }

    pub(crate) fn metric(&self, line: &str) -> Result<(), Error> {
        eventually(SOON, &format!("the metric {line}"), || {
            let served = metrics(self.node)?;
            if served.lines().any(|served| served == line) { Ok(()) } else { Err(served) }
        })
    }
}
