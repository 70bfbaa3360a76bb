//! The API server of a scenario: the real one, or its recording. With PODLAN_RECORD the real one is recorded again.

use std::fs;
use std::path::{Path, PathBuf};

use podlan_conformance::lab::{Error, Node, Running, binaries};
use serde_json::json;

use super::acts::{AGENT, noting};
use super::relay::Relay;
use super::replay::Replay;
use super::server::{Server, kubeconfig};

/// Names the directory for recordings.
const RECORD: &str = "PODLAN_RECORD";

/// The server of a scenario.
#[derive(Clone, Copy, Debug)]
pub(super) enum Backend {
    /// The programs in the directory PODLAN_KUBE_BIN.
    Real,
    /// A recording of their answers.
    Recording,
}

/// An API server.
pub(super) enum Cluster<'a> {
    Real(Server<'a>),
    Written(Server<'a>, Relay),
    Recorded(Replay),
}

impl<'a> Cluster<'a> {
    /// Starts the server of `scenario` on `node`, with these feature gates changed.
    pub(super) fn start(backend: Backend, scenario: &str, node: &'a Node, gates: &'static str) -> Result<Self, Error> {
        let file = format!("{scenario}.http");
        if let Backend::Recording = backend {
            let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/source/apiserver/recorded");
            return Replay::start(node, &records.join(file)).map(Self::Recorded);
        }
        let server = Server::start(node, noting(gates))?;
        match std::env::var_os(RECORD).map(PathBuf::from) {
            None => Ok(Self::Real(server)),
            Some(folder) => {
                let relay = Relay::start(node, &server.kubeconfig(AGENT), &folder.join(file))?;
                Ok(Self::Written(server, relay))
            }
        }
    }

    /// An action of the operator, by name. In a recording it has been done already.
    pub(super) fn step(&self, name: &str, act: impl FnOnce(&Server<'a>) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Real(server) => act(server),
            Self::Written(server, relay) => {
                relay.mark(name);
                act(server)
            }
            Self::Recorded(replay) => replay.go_on(name),
        }
    }

    /// Starts the agent of `node` with access to this server.
    pub(super) fn agent(&self, node: &Node, arguments: &[&str]) -> Result<Running, Error> {
        let access = match self {
            Self::Real(server) => server.kubeconfig(AGENT),
            Self::Written(_, relay) => kubeconfig(&json!({ "server": relay.url() }), ""),
            Self::Recorded(replay) => kubeconfig(&json!({ "server": replay.url() }), ""),
        };
        let path = node.path("/run/kubeconfig");
        fs::write(&path, access.to_string())
            .map_err(|source| Error::System { doing: format!("write {}", path.display()), source })?;
        node.command(binaries::find("podlan-node")?)
            .args(["run", "--node-name", node.name(), "--kubeconfig", "/run/kubeconfig"])
            .args(arguments)
            .spawn()
    }

    /// Ends the scenario: everything in a recording must have been requested. What the lab's end cuts off comes after.
    pub(super) fn ends(&self) -> Result<(), Error> {
        self.step("the story is over", |_| Ok(()))?;
        match self {
            Self::Recorded(replay) => replay.is_complete(),
            Self::Real(_) | Self::Written(..) => Ok(()),
        }
    }
}
