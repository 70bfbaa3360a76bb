//! Sends requests to one build, in a lab, and prints the answers.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use podlan_conformance::lab::{Lab, Node, confine};
use podlan_conformance::sent::{STRACE, Sent};
use serde_json::json;

use crate::record::{PLUGINS, input};
use crate::request::{self, Request};
use crate::{Error, Requests, fuzzed, state};

/// Where the lab has the build, so that no answer depends on the build's own directory.
const BUILD: &str = "/run/lab/build";
const TRACE: &str = "/run/trace";

/// Replays all requests; prints one JSON object for each, one a line, always the same text for the same answer.
pub(crate) fn replay(requests: &Requests, build: &Path) -> Result<(), Error> {
    let recorded = requests.recorded.as_deref().map(request::read).transpose()?.unwrap_or_default();
    let all = [recorded, fuzzed::requests(requests.fuzz, requests.seed)].concat();
    // Requests name paths at random: only the lab's own file systems may be written.
    confine::read_only(&["/run".into(), "/proc".into()])?;
    let lab = Lab::new(0)?;
    let place = Path::new(podlan_conformance::lab::SHARED).join("build");
    fs::create_dir_all(&place).map_err(Error::system("make the build's directory"))?;
    for plugin in PLUGINS {
        fs::copy(build.join(plugin), place.join(plugin)).map_err(Error::system(format!("copy {plugin}")))?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for group in all.chunk_by(|one, other| one.group == other.group) {
        let number = group[0].node.strip_prefix("node").and_then(|number| number.parse().ok()).unwrap_or(1);
        let node = Node::new(number)?;
        state::say_ready(&node)?;
        for request in group {
            let answer = if request.traced { traced(&node, request)? } else { alone(&node, request)? };
            writeln!(out, "{answer}").map_err(Error::system("print an answer"))?;
        }
        node.power_off()?;
    }
    drop(lab);
    out.flush().map_err(Error::system("print the answers"))
}

/// A request that runs in the state left by the requests before it; its netlink messages are read.
fn traced(node: &Node, request: &Request) -> Result<String, Error> {
    state::furnish(node, request);
    let mut strace = Command::new("strace");
    strace.args(STRACE).args(["-o", TRACE]).arg(program(request));
    let (code, stdout) = run(node, strace, request)?;
    let sent = Sent::read(&fs::read_to_string(node.path(TRACE)).unwrap_or_default());
    Ok(json!({ "code": code, "stdout": stdout, "sent": sent.to_string() }).to_string())
}

/// A request that runs on an empty node.
fn alone(node: &Node, request: &Request) -> Result<String, Error> {
    let (code, stdout) = run(node, Command::new(program(request)), request)?;
    state::empty(node)?;
    Ok(json!({ "code": code, "stdout": stdout }).to_string())
}

fn program(request: &Request) -> PathBuf {
    Path::new(BUILD).join(&request.program)
}

/// Runs it on the node; returns the exit code and stdout.
fn run(node: &Node, mut command: Command, request: &Request) -> Result<(Option<i32>, String), Error> {
    let stdin = input(&request.stdin).map_err(Error::system("fill stdin"))?;
    command.env_clear().envs(&request.environment).stdin(stdin).stderr(Stdio::null());
    if let Some(path) = request.variable("CNI_PATH").filter(|_| request.traced) {
        // The directory that the recorder was in, with the plugins beside it.
        command.env("CNI_PATH", format!("{BUILD}:{path}"));
    }
    let output = node.place().enter(|| command.output())?.map_err(Error::system(format!("run {command:?}")))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
