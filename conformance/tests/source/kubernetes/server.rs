//! The part of a Kubernetes API server that the agent uses: nodes, listed in pages or streamed, and watched.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use podlan_conformance::lab::{Error, Node};
use serde_json::{Value, json};

use super::fault::Fault;

/// How the server gives its first list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// Within the watch (`sendInitialEvents`).
    Streamed,
    /// By pages of one node; a streamed list is refused as invalid.
    Paged,
}

#[derive(Debug)]
struct Cluster {
    lists: Lists,
    nodes: BTreeMap<String, Value>,
    version: u64,
    watchers: Vec<TcpStream>,
    breaks: bool,
    broken: usize,
    fault: Option<Fault>,
    /// How often the fault occurred.
    met: usize,
}

/// The contents of a server at some time.
#[derive(Debug)]
pub(super) struct Moment {
    nodes: BTreeMap<String, Value>,
    version: u64,
}

/// A server that lives as long as the lab.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    cluster: Arc<Mutex<Cluster>>,
}

impl Server {
    /// Starts it on the loopback of `node`.
    pub(super) fn start(node: &Node, lists: Lists) -> Result<Self, Error> {
        let failed = |source| Error::System { doing: "start the API server".into(), source };
        let listener = node.place().enter(|| TcpListener::bind("127.0.0.1:0"))?.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (nodes, watchers) = (BTreeMap::new(), Vec::new());
        let cluster = Cluster { lists, nodes, version: 1, watchers, breaks: false, broken: 0, fault: None, met: 0 };
        let cluster = Arc::new(Mutex::new(cluster));
        let shared = cluster.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let cluster = shared.clone();
                // A client that disconnects is no error of the server.
                thread::spawn(move || serve(stream, &cluster).unwrap_or_default());
            }
        });
        Ok(Self { address, cluster })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a node or changes it.
    pub(super) fn put(&self, mut node: Value) {
        let mut cluster = self.lock();
        cluster.version += 1;
        node["metadata"]["resourceVersion"] = json!(cluster.version.to_string());
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let kind = if cluster.nodes.insert(name, node.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        cluster.send(&json!({ "type": kind, "object": node }));
    }

    /// Deletes a node.
    pub(super) fn remove(&self, name: &str) {
        let mut cluster = self.lock();
        cluster.version += 1;
        if let Some(node) = cluster.nodes.remove(name) {
            cluster.send(&json!({ "type": "DELETED", "object": node }));
        }
    }

    /// Ends every watch, as when its version has been compacted.
    pub(super) fn expire(&self) {
        let gone = json!({ "type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410 } });
        let mut cluster = self.lock();
        cluster.send(&gone);
        cluster.watchers.clear();
    }

    /// Loses all nodes, like a server whose store was replaced.
    pub(super) fn forget_all(&self) {
        self.lock().nodes.clear();
        self.expire();
    }

    /// What the server holds now.
    pub(super) fn moment(&self) -> Moment {
        let cluster = self.lock();
        Moment { nodes: cluster.nodes.clone(), version: cluster.version }
    }

    /// From now on it has the contents of that time, and counts on from there, like a server that was restored or is
    /// behind.
    pub(super) fn returns_to(&self, moment: &Moment) {
        let mut cluster = self.lock();
        (cluster.nodes, cluster.version) = (moment.nodes.clone(), moment.version);
        drop(cluster);
        self.expire();
    }

    /// From now on lists end after their first node, or no longer do.
    pub(super) fn break_lists(&self, breaks: bool) {
        self.lock().breaks = breaks;
    }

    /// From now on every request gets this fault, and every watch has ended; with `None` the server works again.
    pub(super) fn fails(&self, fault: Option<Fault>) {
        let mut cluster = self.lock();
        (cluster.fault, cluster.met) = (fault, 0);
        for watcher in cluster.watchers.drain(..) {
            watcher.shutdown(std::net::Shutdown::Both).ok();
        }
    }

    /// Sends half of an event to the existing watches, and nothing after it.
    pub(super) fn falls_silent_in_an_event(&self) {
        for watcher in &mut self.lock().watchers {
            let half = "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"No";
            write!(watcher, "{:x}\r\n{half}\r\n", half.len()).ok();
        }
    }

    /// How many requests got the fault.
    pub(super) fn met(&self) -> usize {
        self.lock().met
    }

    /// How many lists were incomplete.
    pub(super) fn broken(&self) -> usize {
        self.lock().broken
    }
}

impl Cluster {
    fn send(&mut self, event: &Value) {
        self.watchers.retain_mut(|watcher| chunk(watcher, event).is_ok());
    }
}

fn chunk(stream: &mut TcpStream, value: &Value) -> std::io::Result<()> {
    let line = format!("{value}\n");
    write!(stream, "{:x}\r\n{line}\r\n", line.len())
}

fn answer(stream: &mut TcpStream, status: &str, value: &Value) -> std::io::Result<()> {
    let body = value.to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn serve(mut stream: TcpStream, cluster: &Mutex<Cluster>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        let has = |parameter: &str| request.contains(parameter);
        let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = cluster.fault {
            cluster.met += 1;
            drop(cluster);
            return fault.answer(&mut stream, has("watch=true"));
        }
        let streamed = has("sendInitialEvents=true");
        if !has("watch=true") {
            list(&mut stream, &mut cluster, &request)?;
        } else if streamed && cluster.lists == Lists::Paged {
            let message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            answer(
                &mut stream,
                "422 Unprocessable Entity",
                &json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                "reason": "Invalid", "code": 422 }),
            )?;
        } else {
            return watch(stream, &mut cluster, streamed);
        }
    }
}

fn watch(mut stream: TcpStream, cluster: &mut Cluster, streamed: bool) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
    if streamed {
        for node in cluster.nodes.values() {
            chunk(&mut stream, &json!({ "type": "ADDED", "object": node }))?;
            if cluster.breaks {
                cluster.broken += 1;
                return Ok(());
            }
        }
        chunk(
            &mut stream,
            &json!({ "type": "BOOKMARK", "object": { "kind": "Node", "apiVersion": "v1", "metadata": {
            "resourceVersion": cluster.version.to_string(), "annotations": { "k8s.io/initial-events-end": "true" } } } }),
        )?;
    }
    cluster.watchers.push(stream);
    Ok(())
}

/// One node a page: the token is the index of the next node.
fn list(stream: &mut TcpStream, cluster: &mut Cluster, request: &str) -> std::io::Result<()> {
    let token = request.split_once("continue=").and_then(|(_, rest)| rest.split(['&', ' ']).next());
    let at: usize = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    if cluster.breaks && at > 0 {
        cluster.broken += 1;
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    let page: Vec<&Value> = cluster.nodes.values().skip(at).take(1).collect();
    let mut metadata = json!({ "resourceVersion": cluster.version.to_string() });
    if at + 1 < cluster.nodes.len() {
        metadata["continue"] = json!((at + 1).to_string());
    }
    answer(stream, "200 OK", &json!({ "kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": page }))
}
