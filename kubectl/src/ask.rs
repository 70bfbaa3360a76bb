//! Asks the agents of the cluster: finds them, runs podlan-node in their containers, and hands its answers on. What is found in
//! the answers is decided elsewhere.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::answer;
use crate::cluster::{Answer, Answers};
use crate::each::each;
use crate::kubernetes::{Agent, List, Node, Pod, SELECTOR, Site, sites};
use crate::transport::{Error, Kubectl, Said};

/// Asks a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// How it is reached.
    pub(crate) kubectl: Kubectl,
    /// The namespace of the agents' pods.
    pub(crate) agents: String,
    /// How long one call may take.
    pub(crate) limit: Duration,
    /// How many nodes are asked at once.
    pub(crate) at_once: usize,
}

/// The nodes of the cluster, each with its agent.
#[derive(Clone, Debug)]
pub(crate) struct Sites {
    /// Sorted by name.
    pub(crate) all: Vec<Site>,
    /// Why the list of nodes could not be read.
    pub(crate) unlisted: Option<String>,
}

/// An answer that may say by which release it was printed.
pub(crate) trait Released {
    /// The release; "" where it does not say so.
    fn release(&self) -> &str;
}

impl Released for inspect::status::Status<'_> {
    fn release(&self) -> &str {
        &self.release
    }
}

impl Released for inspect::doctor::report::Answer {
    fn release(&self) -> &str {
        &self.release
    }
}

impl Released for inspect::trace::way::Answer {
    fn release(&self) -> &str {
        &self.release
    }
}

impl Released for Vec<inspect::leases::Line> {
    fn release(&self) -> &str {
        ""
    }
}

impl Asker {
    /// Finds the nodes and their agents.
    pub(crate) fn sites(&self) -> Result<Sites, String> {
        let pods: List<Pod> = self
            .get(&["get", "pods", "--namespace", &self.agents, "--selector", SELECTOR, "--output", "json"])
            .map_err(|why| format!("failed to list the agents' pods in the namespace {}: {why}", self.agents))?;
        let nodes = self.get::<List<Node>>(&["get", "nodes", "--output", "json"]);
        if pods.items.is_empty() {
            return Err(format!(
                "no pod with the label {SELECTOR} is in the namespace {} (is podlan installed? --agent-namespace names \
                 another namespace)",
                self.agents
            ));
        }
        let (nodes, unlisted) = match nodes {
            Ok(list) => (list.items, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Ok(Sites { all: sites(&nodes, &pods.items), unlisted })
    }

    /// An object, or a list of them.
    pub(crate) fn get<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, String> {
        answer::json(&self.kubectl(arguments))
    }

    /// Runs kubectl.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<Said, Error> {
        self.kubectl.run(arguments, b"", self.limit)
    }

    /// Runs podlan-node with these arguments in an agent's container.
    pub(crate) fn run(&self, pod: &str, container: &str, arguments: &[&str]) -> Result<Said, Error> {
        let before = ["exec", "--namespace", &self.agents, pod, "--container", container, "--", "podlan-node"];
        self.kubectl(&[&before, arguments].concat())
    }

    /// Asks every agent the same, and keeps of each answer what `keep` makes of it.
    pub(crate) fn ask<T, U>(&self, sites: &Sites, arguments: &[&str], keep: impl Fn(T) -> U + Sync) -> Answers<U>
    where
        T: DeserializeOwned + Released,
        U: Send,
    {
        self.of_each(sites, |pod, container| self.one(pod, container, arguments, &keep))
    }

    /// Asks one agent.
    pub(crate) fn one<T, U>(
        &self,
        pod: &str,
        container: &str,
        arguments: &[&str],
        keep: impl Fn(T) -> U,
    ) -> Result<Answer<U>, String>
    where
        T: DeserializeOwned + Released,
    {
        let said = self.run(pod, container, arguments);
        let value: T = answer::json(&said)?;
        let complaint = said.ok().as_ref().and_then(answer::complaint);
        let release = match value.release() {
            "" => self.release(pod, container),
            release => Ok(release.to_owned()),
        };
        Ok(Answer { release, value: keep(value), complaint })
    }

    /// Does something with every agent.
    pub(crate) fn of_each<U: Send>(
        &self,
        sites: &Sites,
        work: impl Fn(&str, &str) -> Result<Answer<U>, String> + Sync,
    ) -> Answers<U> {
        let expected = |site: &&Site| !matches!(site.agent, Agent::NotExpected(_));
        let asked: Vec<&Site> = sites.all.iter().filter(expected).collect();
        let said = each(&asked, self.at_once, |site| match &site.agent {
            Agent::Runs { pod, container } => work(pod, container),
            Agent::Absent(why) | Agent::NotExpected(why) => Err(why.clone()),
        });
        let not_expected = sites.all.iter().filter_map(|site| match &site.agent {
            Agent::NotExpected(why) => Some((site.node.clone(), why.clone())),
            _ => None,
        });
        Answers {
            client: state::release::version().to_owned(),
            nodes: asked.iter().map(|site| site.node.clone()).zip(said).collect(),
            not_expected: not_expected.collect(),
            unlisted: sites.unlisted.clone(),
        }
    }

    /// The release of a podlan-node: `podlan-node 0.1.0 (commit 0123456789ab)` without its first word.
    pub(crate) fn release(&self, pod: &str, container: &str) -> Result<String, String> {
        let text = answer::text(&self.run(pod, container, &["--version"]))?;
        Ok(text.strip_prefix("podlan-node ").unwrap_or(&text).to_owned())
    }
}
