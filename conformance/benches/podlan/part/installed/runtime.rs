//! One process for all pods of a node, as a container runtime is one: it has libcni, and times each call itself
//! (conformance/harness/lists).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use podlan_conformance::lab::{Node, PORT};
use serde_json::{Value, json};

use crate::Failure;
use crate::contender::{Families, Verb};

/// One ADD or DEL.
pub(crate) struct Call<'a> {
    /// Which of the two.
    pub(crate) verb: Verb,
    /// The pod's number on its node; its container id.
    pub(crate) number: usize,
    /// Its network namespace.
    pub(crate) netns: &'a Path,
    /// The node's port that leads to the pod's [`PORT`].
    pub(crate) host_port: Option<u16>,
    /// The families of its addresses.
    pub(crate) families: Families,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// From libcni's begin to its end.
    pub(crate) wall: f64,
    /// CPU time of the plugins.
    pub(crate) cpu: f64,
}

/// The process. It ends when its stdin is closed.
pub(super) struct Runtime {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Runtime {
    /// Starts it on a node, for one list and one folder of plugins.
    pub(super) fn start(lists: &Path, node: &Node, conflist: &Path, plugins: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(lists);
        command.args([conflist, plugins, Path::new("/var/lib/cni")]);
        // What a plugin says on stderr is of no interest unless it fails, and then it is in libcni's error.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = node.place().enter(|| command.spawn())??;
        let (to, from) = (child.stdin.take(), child.stdout.take().ok_or("the runtime has no stdout")?);
        Ok(Self { child, to, from: BufReader::new(from) })
    }

    /// One call, which must succeed. `more`: arguments beside those of Kubernetes.
    pub(super) fn call(&mut self, call: &Call<'_>, more: &[(&str, String)]) -> Result<Took, Failure> {
        let id = format!("{:064x}", call.number);
        let kubernetes = [
            ("IgnoreUnknown", "1".to_owned()),
            ("K8S_POD_NAMESPACE", "default".to_owned()),
            ("K8S_POD_NAME", format!("pod-{}", call.number)),
            ("K8S_POD_INFRA_CONTAINER_ID", id.clone()),
            ("K8S_POD_UID", format!("{:032x}", call.number)),
        ];
        let port = |port| json!([{ "hostPort": port, "containerPort": PORT, "protocol": "tcp", "hostIP": "" }]);
        let request = json!({
            "verb": if call.verb == Verb::Add { "ADD" } else { "DEL" },
            "containerID": id,
            "netns": call.netns,
            "args": kubernetes.iter().chain(more).collect::<Vec<_>>(),
            "capabilities": call.host_port.map(|host_port| json!({ "portMappings": port(host_port) })),
        });
        let to = self.to.as_mut().ok_or("the runtime has no stdin")?;
        to.write_all(format!("{request}\n").as_bytes())?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        match (&answer["error"], answer["wall"].as_f64(), answer["cpu"].as_f64()) {
            (Value::Null, Some(wall), Some(cpu)) => Ok(Took { wall, cpu }),
            _ => Err(format!("{request}: {line}").into()),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.to = None;
        // It reads the end of its stdin.
        let _ = self.child.wait();
    }
}
