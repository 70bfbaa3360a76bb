//! A cluster in the lab, as kubectl shows it: Kubernetes objects in files, and a kubectl that answers from them and enters the
//! nodes of the lab for `exec`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use podlan_conformance::agent::{installed, state};
use podlan_conformance::lab::{Added, Command, Error, Node, Output, Place, Pod, Running, SHARED, binaries, eventually};
use serde_json::{Value, json};

/// The deadline for a fact to become true on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A node with a pod and an agent.
pub(crate) struct Member<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pod: &'a Pod<'a>,
    pub(crate) at: Added,
    pub(crate) agent: Running,
    pub(crate) server: Running,
}

/// The server of the smoke test: agnhost's `/clientip`, for both families.
const SERVER: &str = "\
import http.server, socket
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host, port = self.client_address[:2]
        host = host.removeprefix('::ffff:')
        self.send_response(200)
        self.end_headers()
        self.wfile.write((('[%s]:%d' if ':' in host else '%s:%d') % (host, port)).encode())
    def log_message(self, *rest): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(('::', 8080), Answer).serve_forever()
";

const ASK: &str = "\
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=15).read().decode())
";

impl<'a> Member<'a> {
    /// Starts the agent, waits for its conflist, and adds the pod by it.
    pub(crate) fn start(node: &'a Node, pod: &'a Pod<'a>) -> Result<Self, Error> {
        fs::create_dir_all(node.path("/run/net.d")).map_err(Error::system("make net.d"))?;
        let agent = node.agent(&["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"])?;
        let at = pod.add(&installed(node)?)?;
        let server = pod.command("python3").args(["-c", SERVER]).spawn()?;
        Ok(Self { node, pod, at, agent, server })
    }
}

/// The cluster, as kubectl shows it.
pub(crate) struct Cluster {
    folder: PathBuf,
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::system(format!("write {}", path.display())))
}

impl Cluster {
    /// A cluster of these nodes.
    pub(crate) fn of(members: &[Member<'_>]) -> Result<Self, Error> {
        let folder = Path::new(SHARED).join("kubectl");
        for folder in [&folder, &folder.join("processes"), &folder.join("pods")] {
            fs::create_dir_all(folder).map_err(Error::system("make a folder"))?;
        }
        let kubectl = folder.join("kubectl");
        write(&kubectl, include_str!("kubectl.sh"))?;
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).map_err(Error::system("make it a program"))?;
        write(&folder.join("ask.py"), ASK)?;
        symlink(binaries::find("podlan-node")?, folder.join("podlan-node"))
            .map_err(Error::system("link podlan-node"))?;
        let cluster = Self { folder };
        cluster.describe(members)?;
        Ok(cluster)
    }

    /// Writes the objects again: the nodes, the agents and the pods.
    pub(crate) fn describe(&self, members: &[Member<'_>]) -> Result<(), Error> {
        let nodes: Vec<Value> = members.iter().map(|member| member.node.as_kubernetes()).collect();
        self.put("nodes.json", &json!({ "items": nodes }))?;
        let agent = |member: &Member<'_>| {
            json!({
                "metadata": { "name": format!("podlan-{}", member.node.name()), "namespace": "kube-system" },
                "spec": { "nodeName": member.node.name(), "hostNetwork": true, "containers": [{ "name": "podlan-node" }] },
                "status": { "phase": "Running" },
            })
        };
        self.put("agents.json", &json!({ "items": members.iter().map(agent).collect::<Vec<_>>() }))?;
        let pod = |member: &Member<'_>| {
            let ips: Vec<Value> = member.at.ips().iter().map(|ip| json!({ "ip": ip })).collect();
            json!({
                "metadata": { "name": member.pod.name(), "namespace": "default" },
                "spec": { "nodeName": member.node.name() },
                "status": { "phase": "Running", "podIPs": ips, "conditions": [{ "type": "Ready", "status": "True" }] },
            })
        };
        self.put("smoke.json", &json!({ "items": members.iter().map(pod).collect::<Vec<_>>() }))?;
        for member in members {
            self.put(&format!("pods/default.{}.json", member.pod.name()), &pod(member))?;
            write(&self.path(&format!("processes/podlan-{}", member.node.name())), &member.agent.id().to_string())?;
            write(&self.path(&format!("processes/{}", member.pod.name())), &member.server.id().to_string())?;
        }
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes an object.
    pub(crate) fn put(&self, name: &str, object: &Value) -> Result<(), Error> {
        write(&self.path(name), &object.to_string())
    }

    pub(crate) fn object(&self, name: &str) -> Result<Value, Error> {
        let text = fs::read_to_string(self.path(name)).map_err(Error::system(format!("read {name}")))?;
        serde_json::from_str(&text).map_err(|_| Error::Unreadable { from: name.into(), said: text })
    }

    /// `kubectl podlan`, run with this cluster's kubectl.
    pub(crate) fn podlan(&self, arguments: &[&str]) -> Result<Output, Error> {
        let program = Command::new(Place::lab()?, binaries::find("kubectl-podlan")?);
        // Deadlines are for answers that never come: on a busy machine those of the lab are slow.
        let program = program.args(arguments).args(["--timeout", "100s", "--context", "lab", "--kubectl"]);
        program.arg(self.path("kubectl")).deadline(SOON * 2).run()
    }

    /// Its JSON, and its exit code.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<(Value, i32), Error> {
        let output = self.podlan(&[arguments, &["--json"]].concat())?;
        let value =
            serde_json::from_str(&output.stdout).map_err(|_| output.clone().but("it should have printed JSON"))?;
        Ok((value, output.status.and_then(|status| status.code()).unwrap_or(-1)))
    }

    /// Its text; it must end with this code.
    pub(crate) fn text(&self, arguments: &[&str], code: i32) -> Result<String, Error> {
        let output = self.podlan(arguments)?;
        match output.status.and_then(|status| status.code()) == Some(code) {
            true => Ok(output.stdout),
            false => Err(output.but(&format!("it should have ended with {code}"))),
        }
    }
}

/// Waits until each agent is ready, and finds each path open or as `named` says: (from, to, state), both families.
pub(crate) fn paths_are(members: &[Member<'_>], named: &[(&str, &str, &str)]) -> Result<(), Error> {
    for member in members {
        let from = member.node.name();
        let others = members.len() - 1;
        let expected: Vec<(&str, &str)> =
            named.iter().filter(|(one, ..)| *one == from).map(|(_, to, state)| (*to, *state)).collect();
        eventually(SOON, &format!("the paths of {from} are open but {expected:?}"), || {
            let state = state(member.node);
            let is = |family: &str| {
                let worst = state["paths"]["worst"].as_array().cloned().unwrap_or_default();
                let found: Vec<&Value> = worst.iter().filter(|line| line["family"] == family).collect();
                let as_expected = expected
                    .iter()
                    .all(|(to, word)| found.iter().any(|line| line["node"] == *to && line["state"] == *word));
                let open = state["paths"]["counts"][family]["open"].as_u64().unwrap_or_default();
                as_expected && found.len() == expected.len() && open == (others - expected.len()) as u64
            };
            if state["ready"] == true && is("ipv4") && is("ipv6") { Ok(()) } else { Err(state.to_string()) }
        })?;
    }
    Ok(())
}

/// Drops what comes from this node's pods on the LAN, and goes to that node's: one direction of one path.
pub(crate) fn drop_one_way(from: u8, to: u8) -> Result<String, Error> {
    on_the_lan(&format!(
        "nft 'add table bridge fault; add chain bridge fault f {{ type filter hook forward priority 0; }}; \
         add rule bridge fault f ip saddr 10.244.{from}.0/24 ip daddr 10.244.{to}.0/24 drop; \
         add rule bridge fault f ip6 saddr fd00:10:244:{from}::/64 ip6 daddr fd00:10:244:{to}::/64 drop'"
    ))
}

/// Runs a script on the LAN, outside of the nodes.
pub(crate) fn on_the_lan(script: &str) -> Result<String, Error> {
    Command::new(Place::lab()?, "sh").args(["-c", script]).succeeds()
}
