//! The real API server and its etcd, on a node of the lab: started, killed, emptied and asked as an operator would.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use podlan_conformance::lab::{Error, Node, Running, eventually};
use serde_json::{Value, json};

use crate::PROGRAMS;

/// A server's start on a busy machine.
const START: Duration = Duration::from_secs(100);

/// Everything that the servers keep, on the node's own /run.
const FOLDER: &str = "/run/kubernetes";

/// The port that the agent knows.
pub(super) const FRONT: u16 = 6443;

/// A second server on the same etcd, as in a control plane of several nodes.
pub(super) const BACK: u16 = 6444;

/// Who asks the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum User {
    /// May do everything.
    Admin,
    /// May do what the cluster role `podlan-node` says, and is bound to it by [`Server::allow`] alone.
    Agent,
}

impl User {
    fn token(self) -> &'static str {
        match self {
            Self::Admin => "the-admins-token",
            Self::Agent => "the-agents-token",
        }
    }
}

/// What the agent may do with nodes, and it may do nothing else.
const VERBS: [&str; 3] = ["get", "list", "watch"];

/// A control plane. It dies with this value.
pub(super) struct Server<'a> {
    node: &'a Node,
    programs: PathBuf,
    gates: &'static str,
    etcd: RefCell<Option<Running>>,
    front: RefCell<Option<Running>>,
    back: RefCell<Option<Running>>,
}

impl<'a> Server<'a> {
    /// Starts etcd and one API server, with these feature gates changed.
    pub(super) fn start(node: &'a Node, gates: &'static str) -> Result<Self, Error> {
        let programs = std::env::var_os(PROGRAMS).map(PathBuf::from).unwrap_or_default();
        let (etcd, front, back) = Default::default();
        let server = Self { node, programs, gates, etcd, front, back };
        fs::create_dir_all(node.path(FOLDER)).map_err(system("make the server's folder"))?;
        let users =
            format!("{},admin,1,\"system:masters\"\n{},podlan-node,2,\"\"\n", User::Admin.token(), User::Agent.token());
        server.write("users.csv", &users)?;
        server.write("audit.json", &audit_policy().to_string())?;
        let key = node.command(server.programs.join("signing-key")).succeeds()?;
        server.write("signing.pem", &key)?;
        server.start_etcd()?;
        server.open(FRONT)?;
        Ok(server)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.node.path(FOLDER).join(file);
        fs::write(&path, text).map_err(system(&format!("write {}", path.display())))
    }

    fn start_etcd(&self) -> Result<(), Error> {
        let etcd = self
            .node
            .command(self.programs.join("etcd"))
            .args(["--name", "etcd", "--data-dir", &format!("{FOLDER}/etcd"), "--log-level", "warn"])
            .args(["--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379"])
            .args(["--listen-peer-urls", "http://127.0.0.1:2380"])
            .args(["--initial-advertise-peer-urls", "http://127.0.0.1:2380"])
            .args(["--initial-cluster", "etcd=http://127.0.0.1:2380", "--unsafe-no-fsync"])
            .spawn()?;
        self.etcd.replace(Some(etcd));
        Ok(())
    }

    fn place_of(&self, port: u16) -> &RefCell<Option<Running>> {
        if port == FRONT { &self.front } else { &self.back }
    }

    /// Starts an API server on `port` and waits until it is ready.
    pub(super) fn open(&self, port: u16) -> Result<(), Error> {
        let address = self.node.v4().to_string();
        let mut command = self
            .node
            .command(self.programs.join("kube-apiserver"))
            .args(["--etcd-servers", "http://127.0.0.1:2379", "--endpoint-reconciler-type", "none"])
            .args(["--bind-address", &address, "--advertise-address", &address])
            .args(["--secure-port", &port.to_string(), "--cert-dir", &format!("{FOLDER}/pki-{port}")])
            .args(["--authorization-mode", "RBAC", "--token-auth-file", &format!("{FOLDER}/users.csv")])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-signing-key-file", &format!("{FOLDER}/signing.pem")])
            .args(["--service-account-key-file", &format!("{FOLDER}/signing.pem")])
            .args(["--service-cluster-ip-range", "10.96.0.0/16,fd00:10:96::/112"])
            .args(["--audit-policy-file", &format!("{FOLDER}/audit.json")])
            .args(["--audit-log-path", &format!("{FOLDER}/audit-{port}.log"), "--audit-log-mode", "blocking"]);
        if !self.gates.is_empty() {
            command = command.args(["--feature-gates", self.gates]);
        }
        let mut server = command.spawn()?;
        let ready = eventually(START, "the API server is ready", || {
            if !server.is_running() {
                return Err(format!("it ended: {}", tail(&server.stderr())));
            }
            std::thread::sleep(Duration::from_millis(100));
            let answer = self.text(port, Method::GET, "/readyz", &Value::Null);
            answer.map(drop).map_err(|why| format!("{why}\n{}", tail(&server.stderr())))
        });
        self.place_of(port).replace(Some(server));
        ready
    }

    /// Kills the API server on `port`, as the kernel does when memory is short.
    pub(super) fn kill(&self, port: u16) {
        self.place_of(port).take();
    }

    /// Kills everything, and begins again with an empty store.
    pub(super) fn begin_anew(&self) -> Result<(), Error> {
        self.kill(FRONT);
        self.etcd.take();
        fs::remove_dir_all(self.node.path(FOLDER).join("etcd")).map_err(system("empty the store"))?;
        self.start_etcd()?;
        self.open(FRONT)
    }

    /// A kubeconfig for the API server on [`FRONT`].
    pub(super) fn kubeconfig(&self, user: User) -> Value {
        self.access(FRONT, user)
    }

    fn access(&self, port: u16, user: User) -> Value {
        let server = format!("https://{}:{port}", self.node.v4());
        let authority = format!("{FOLDER}/pki-{port}/apiserver.crt");
        kubeconfig(&json!({ "server": server, "certificate-authority": authority }), user.token())
    }

    /// Calls the server on `port` as the admin; answers the body, or what went wrong.
    fn text(&self, port: u16, method: Method, path: &str, body: &Value) -> Result<String, String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.texts(port, 1, &method, path, &body)
    }

    /// The same call several times over one connection; answers the last body.
    fn texts(&self, port: u16, times: usize, method: &Method, path: &str, body: &[u8]) -> Result<String, String> {
        let access = self.access(port, User::Admin);
        let calls = async || -> Result<String, kube::Error> {
            let client = client(access).await?;
            let mut said = String::new();
            for _ in 0..times {
                let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
                let request = request.body(body.to_vec()).map_err(kube::Error::HttpError)?;
                said = client.request_text(request).await?;
            }
            Ok(said)
        };
        self.node.place().enter(|| block_on(calls())).map_err(|error| error.to_string())?.map_err(|e| e.to_string())
    }

    /// Lets the store count some versions further.
    pub(super) fn grow_older(&self, versions: usize) -> Result<(), Error> {
        const TICKS: &str = "/api/v1/namespaces/default/configmaps";
        self.has_namespace("default")?;
        let tick = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "tick-" } });
        let done = self.texts(FRONT, versions, &Method::POST, TICKS, tick.to_string().as_bytes());
        done.map(drop).map_err(|said| Error::Unreadable { from: format!("POST {TICKS}"), said })
    }

    /// Calls an API server as the admin; it must succeed.
    pub(super) fn call(&self, port: u16, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let answer = self.text(port, method.clone(), path, body);
        let said = answer.map_err(|said| Error::Unreadable { from: format!("{method} {path}"), said })?;
        serde_json::from_str(&said).map_err(|_| Error::Unreadable { from: format!("{method} {path}"), said })
    }

    /// Creates a node.
    pub(super) fn create(&self, node: &Value) -> Result<(), Error> {
        self.call(FRONT, Method::POST, "/api/v1/nodes", node).map(drop)
    }

    /// Creates many nodes over one connection, some at a time.
    pub(super) fn create_all(&self, nodes: impl Iterator<Item = Value> + Send) -> Result<(), Error> {
        let access = self.access(FRONT, User::Admin);
        let calls = async || -> Result<(), kube::Error> {
            let client = client(access).await?;
            let requests = nodes.map(|node| {
                let request = Request::post("/api/v1/nodes").header("content-type", "application/json");
                request.body(node.to_string().into_bytes()).map_err(kube::Error::HttpError)
            });
            let calls = futures::stream::iter(requests).map(|request| {
                let client = client.clone();
                async move { client.request_text(request?).await.map(drop) }
            });
            calls.buffer_unordered(8).try_collect().await
        };
        let done = self.node.place().enter(|| block_on(calls()))?;
        done.map_err(|error| Error::Unreadable { from: "POST /api/v1/nodes".into(), said: error.to_string() })
    }

    /// Deletes a node, by the server on `port`.
    pub(super) fn delete(&self, port: u16, name: &str) -> Result<(), Error> {
        self.call(port, Method::DELETE, &format!("/api/v1/nodes/{name}"), &Value::Null).map(drop)
    }

    /// Gives a node that has no pod CIDRs these, as the controller manager does.
    pub(super) fn give_pod_cidrs(&self, name: &str, cidrs: &[&str]) -> Result<(), Error> {
        let path = format!("/api/v1/nodes/{name}");
        let mut node = self.call(FRONT, Method::GET, &path, &Value::Null)?;
        node["spec"]["podCIDR"] = json!(cidrs[0]);
        node["spec"]["podCIDRs"] = json!(cidrs);
        self.call(FRONT, Method::PUT, &path, &node).map(drop)
    }

    /// Changes the status of a node, as its kubelet does.
    pub(super) fn report(&self, port: u16, name: &str, change: impl FnOnce(&mut Value)) -> Result<(), Error> {
        let path = format!("/api/v1/nodes/{name}");
        let mut node = self.call(port, Method::GET, &path, &Value::Null)?;
        change(&mut node["status"]);
        self.call(port, Method::PUT, &format!("{path}/status"), &node).map(drop)
    }

    /// Lets the agent's user, or a service account, do what the agent needs.
    pub(super) fn allow(&self, subject: &Value) -> Result<(), Error> {
        const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "podlan-node" },
            "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": VERBS }],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "podlan-node" }, "subjects": [subject],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "podlan-node" },
        });
        self.call(FRONT, Method::POST, &format!("{RBAC}/clusterroles"), &role)?;
        self.call(FRONT, Method::POST, &format!("{RBAC}/clusterrolebindings"), &binding).map(drop)
    }

    /// What `user` has asked for so far: `verb resource`, and the address that it asked.
    pub(super) fn asked_by(&self, user: &str) -> Result<Vec<(String, String)>, Error> {
        let path = self.node.path(FOLDER).join(format!("audit-{FRONT}.log"));
        let log = fs::read_to_string(&path).map_err(system("read the audit log"))?;
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let own = events.filter(|event| event["user"]["username"] == user);
        Ok(own
            .map(|event| {
                let what = format!("{} {}", text(&event["verb"]), text(&event["objectRef"]["resource"]));
                (what, text(&event["requestURI"]))
            })
            .collect())
    }

    /// The server makes its namespaces itself, some time after it says that it is ready.
    fn has_namespace(&self, name: &str) -> Result<(), Error> {
        let path = format!("/api/v1/namespaces/{name}");
        eventually(START, &format!("{path} is there"), || self.text(FRONT, Method::GET, &path, &Value::Null).map(drop))
    }

    /// Makes a service account and puts what a pod of it would see on the node.
    pub(super) fn service_account(&self, name: &str) -> Result<(), Error> {
        const ACCOUNTS: &str = "/api/v1/namespaces/kube-system/serviceaccounts";
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        self.has_namespace("kube-system")?;
        self.call(FRONT, Method::POST, ACCOUNTS, &account)?;
        let asked = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let token = self.call(FRONT, Method::POST, &format!("{ACCOUNTS}/{name}/token"), &asked)?;
        let folder = self.node.path("/run/secrets/kubernetes.io/serviceaccount");
        fs::create_dir_all(&folder).map_err(system("make the service account's folder"))?;
        let authority = self.node.path(FOLDER).join(format!("pki-{FRONT}/apiserver.crt"));
        fs::copy(authority, folder.join("ca.crt")).map_err(system("copy the authority"))?;
        let token = token["status"]["token"].as_str().unwrap_or_default();
        let written =
            fs::write(folder.join("token"), token).and_then(|()| fs::write(folder.join("namespace"), "kube-system"));
        written.map_err(system("write the service account's files"))
    }
}

/// A kubeconfig with one cluster and one user.
pub(super) fn kubeconfig(cluster: &Value, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "clusters": [{ "name": "lab", "cluster": cluster }],
        "users": [{ "name": "lab", "user": { "token": token } }],
    })
}

fn audit_policy() -> Value {
    json!({ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["ResponseStarted", "ResponseComplete"],
            "rules": [{ "level": "Metadata" }] })
}

/// A client for whoever a kubeconfig is of; to be made on the node, whose files it names.
pub(super) async fn client(access: Value) -> Result<Client, kube::Error> {
    let config: Kubeconfig = serde_json::from_value(access).map_err(kube::Error::SerdeError)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(|error| kube::Error::Service(error.into()))?)
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread");
    runtime.block_on(future)
}

fn system(doing: &str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::System { doing: doing.to_owned(), source }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
