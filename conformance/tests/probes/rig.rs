//! Nodes with an agent and a pod each, and what their agents say of the paths between them.

use std::fs;
use std::time::{Duration, Instant};

use podlan_conformance::agent::state;
use podlan_conformance::lab::{Added, Error, Lab, Node, Place, Pod, Running, eventually};
use serde_json::Value;

/// Long enough for a busy machine. How long a verdict takes is printed, not limited.
pub(crate) const SOON: Duration = Duration::from_secs(45);

pub(crate) const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// A node with a pod, so that it forwards, and an agent.
pub(crate) struct Here<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pod: &'a Pod<'a>,
    pub(crate) at: Added,
    pub(crate) agent: Running,
    _serves: Running,
}

impl<'a> Here<'a> {
    pub(crate) fn start(node: &'a Node, pod: &'a Pod<'a>, options: &[&str]) -> Result<Self, Error> {
        let at = pod.add(&node.podnet())?;
        let serves = pod.serve()?;
        let agent = node.agent(options)?;
        Ok(Self { node, pod, at, agent, _serves: serves })
    }

    /// The same of an agent that was started otherwise.
    pub(crate) fn of(node: &'a Node, pod: &'a Pod<'a>, at: Added, agent: Running, serves: Running) -> Self {
        Self { node, pod, at, agent, _serves: serves }
    }

    /// Whether the pod reaches the other's, in both families, and is seen with its own addresses.
    pub(crate) fn reaches(&self, other: &Self) -> Result<(), Error> {
        self.pod.reaches(&self.at, &other.at.ips())
    }
}

/// The agent's verdict on the path to a peer.
pub(crate) fn verdict(node: &Node, peer: &Node, family: &str) -> String {
    let paths = &state(node)["paths"];
    match line(paths, peer.name(), family) {
        Some(line) => line["state"].as_str().unwrap_or_default().to_owned(),
        // The open ones are counted, not listed.
        None => {
            let counts = &paths["counts"][family];
            let of = |word: &str| counts[word].as_u64().unwrap_or_default();
            match (of("unknown"), of("no-agent"), of("open")) {
                (0, 0, open) if open > 0 => "open".to_owned(),
                (0, no_agent, _) if no_agent > 0 => "open or no-agent".to_owned(),
                _ => "unknown".to_owned(),
            }
        }
    }
}

/// The line of `node.json` on the path to a peer; none for an open one.
pub(crate) fn line<'v>(paths: &'v Value, peer: &str, family: &str) -> Option<&'v Value> {
    paths["worst"].as_array()?.iter().find(|line| line["node"] == peer && line["family"] == family)
}

/// Waits until the path from `node` to `peer` has this verdict in these families; returns how long that took.
pub(crate) fn becomes(
    what: &str,
    here: &Here<'_>,
    peer: &Node,
    families: &[&str],
    wanted: &[&str],
) -> Result<Duration, Error> {
    let began = Instant::now();
    eventually(SOON, &format!("{what}: {} finds {wanted:?}", here.node.name()), || {
        let found: Vec<String> = families.iter().map(|family| verdict(here.node, peer, family)).collect();
        match found.iter().all(|found| wanted.contains(&found.as_str())) {
            true => Ok(()),
            false => Err(format!("{found:?}\n{}\n{}", state(here.node)["paths"], here.agent.stderr())),
        }
    })?;
    Ok(began.elapsed())
}

/// All paths between these nodes are open.
pub(crate) fn all_open(what: &str, nodes: &[&Here<'_>]) -> Result<(), Error> {
    for here in nodes {
        for peer in nodes.iter().filter(|peer| peer.node.name() != here.node.name()) {
            becomes(what, here, peer.node, &FAMILIES, &["open"])?;
        }
    }
    Ok(())
}

/// Runs a script on the LAN, outside of the nodes.
pub(crate) fn on_the_lan(script: &str) -> Result<String, Error> {
    podlan_conformance::lab::Command::new(Place::lab()?, "sh").args(["-c", script]).succeeds()
}

/// Writes a sysctl of a node.
pub(crate) fn set(node: &Node, path: &str, value: &str) -> Result<(), Error> {
    let written = node.place().enter(|| fs::write(path, value))?;
    written.map_err(|source| Error::System { doing: format!("write {path} on {}", node.name()), source })
}

/// A chain of another program on a node.
pub(crate) fn chain(node: &Node, hook: &str, rules: &[&str]) -> Result<String, Error> {
    let rules: String = rules.iter().map(|rule| format!("add rule inet fault f {rule}; ")).collect();
    node.shell(&format!("nft 'add table inet fault; add chain inet fault f {{ type {hook}; }}; {rules}'"))
}

pub(crate) fn no_chain(node: &Node) -> Result<String, Error> {
    node.shell("nft delete table inet fault")
}

#[expect(clippy::print_stdout, reason = "the time to the verdict")]
pub(crate) fn took(what: &str, time: Duration) {
    println!("{what}: {:.1} s", time.as_secs_f64());
}

/// Runs `body` with two nodes whose paths are open, and sees them open afterwards.
pub(crate) fn of_two(options: &[&str], body: impl Fn(&Here<'_>, &Here<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [one, two] = lab.these();
    let (web, db) = (one.pod("web")?, two.pod("db")?);
    let (here, there) = (Here::start(one, &web, options)?, Here::start(two, &db, options)?);
    all_open("at first", &[&here, &there])?;
    body(&here, &there)?;
    all_open("afterwards", &[&here, &there])?;
    here.reaches(&there)
}

/// No path is bad at any moment of some rounds.
pub(crate) fn calm(what: &str, here: &Here<'_>, there: &Here<'_>) -> Result<(), Error> {
    let until = Instant::now() + Duration::from_secs(12);
    eventually(Duration::from_secs(60), what, || {
        for (here, there) in [(here, there), (there, here)] {
            for family in FAMILIES {
                let found = verdict(here.node, there.node, family);
                let is_bad = !["open", "unknown", "not-probed"].contains(&found.as_str());
                assert!(!is_bad, "{what}: {found}\n{}", state(here.node)["paths"]);
            }
        }
        if Instant::now() > until { Ok(()) } else { Err("still watched".to_owned()) }
    })
}
