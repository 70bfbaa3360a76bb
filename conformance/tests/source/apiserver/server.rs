//! The real API server and its etcd, on a node of the lab: started, killed, emptied and called as by an operator.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use podlan_conformance::lab::{Error, Node, Running, eventually};
use serde_json::{Value, json};

use super::PROGRAMS;

/// The deadline of a server's start on a busy machine.
pub(super) const START: Duration = Duration::from_secs(100);

/// The directory of all of the servers' files, on the node's own /run.
pub(super) const FOLDER: &str = "/run/kubernetes";

/// The port that the agent uses.
pub(super) const FRONT: u16 = 6443;

/// A user of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) name: &'static str,
    /// Empty for none.
    pub(super) group: &'static str,
}

impl User {
    fn token(self) -> String {
        format!("the-token-of-{}", self.name)
    }
}

/// Has all permissions.
pub(super) const ADMIN: User = User { name: "admin", group: "system:masters" };

/// The settings of a control plane.
pub(super) struct Settings {
    /// Feature gates that are changed.
    pub(super) gates: &'static str,
    /// The users beside [`ADMIN`].
    pub(super) users: &'static [User],
    /// Files that go into [`FOLDER`].
    pub(super) files: Vec<(&'static str, String)>,
    /// More flags of the API server on a port.
    pub(super) flags: fn(u16) -> Vec<String>,
}

/// A control plane. It is killed when this value is dropped.
pub(super) struct Server<'a> {
    pub(super) node: &'a Node,
    pub(super) programs: PathBuf,
    settings: Settings,
    pub(super) etcd: RefCell<Option<Running>>,
    front: RefCell<Option<Running>>,
    back: RefCell<Option<Running>>,
}

impl<'a> Server<'a> {
    /// Starts etcd and one API server.
    pub(super) fn start(node: &'a Node, settings: Settings) -> Result<Self, Error> {
        let programs = std::env::var_os(PROGRAMS).map(PathBuf::from).unwrap_or_default();
        let (etcd, front, back) = Default::default();
        let server = Self { node, programs, settings, etcd, front, back };
        fs::create_dir_all(node.path(FOLDER)).map_err(system("make the server's folder"))?;
        let users = [ADMIN].iter().chain(server.settings.users).enumerate();
        let users = users.map(|(id, user)| format!("{},{},{id},\"{}\"\n", user.token(), user.name, user.group));
        server.write("users.csv", &users.collect::<String>())?;
        server.settings.files.iter().try_for_each(|(file, text)| server.write(file, text))?;
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

    pub(super) fn start_etcd(&self) -> Result<(), Error> {
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

    pub(super) fn place_of(&self, port: u16) -> &RefCell<Option<Running>> {
        if port == FRONT { &self.front } else { &self.back }
    }

    /// Starts an API server on `port` and waits until it is ready.
    pub(super) fn open(&self, port: u16) -> Result<(), Error> {
        let address = self.node.v4().to_string();
        let mut command = self
            .node
            .command(self.programs.join("kube-apiserver"))
            .args(["--etcd-servers", "http://127.0.0.1:2379"])
            .args(["--bind-address", &address, "--advertise-address", &address])
            .args(["--secure-port", &port.to_string(), "--cert-dir", &format!("{FOLDER}/pki-{port}")])
            .args(["--token-auth-file", &format!("{FOLDER}/users.csv")])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-signing-key-file", &format!("{FOLDER}/signing.pem")])
            .args(["--service-account-key-file", &format!("{FOLDER}/signing.pem")])
            .args(["--service-cluster-ip-range", "10.96.0.0/16,fd00:10:96::/112"])
            .args((self.settings.flags)(port));
        if !self.settings.gates.is_empty() {
            command = command.args(["--feature-gates", self.settings.gates]);
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

    /// A kubeconfig for the API server on [`FRONT`].
    pub(super) fn kubeconfig(&self, user: User) -> Value {
        self.access(FRONT, user)
    }

    pub(super) fn access(&self, port: u16, user: User) -> Value {
        let server = format!("https://{}:{port}", self.node.v4());
        let authority = format!("{FOLDER}/pki-{port}/apiserver.crt");
        kubeconfig(&json!({ "server": server, "certificate-authority": authority }), &user.token())
    }

    /// Calls the server on `port` as the admin; returns the body, or the error.
    pub(super) fn text(&self, port: u16, method: Method, path: &str, body: &Value) -> Result<String, String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.texts(port, 1, &method, path, &body)
    }

    /// The same call several times over one connection; returns the last body.
    pub(super) fn texts(
        &self,
        port: u16,
        times: usize,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<String, String> {
        let access = self.access(port, ADMIN);
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

    /// Calls an API server as the admin; it must succeed.
    pub(super) fn call(&self, port: u16, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let answer = self.text(port, method.clone(), path, body);
        let said = answer.map_err(|said| Error::Unreadable { from: format!("{method} {path}"), said })?;
        serde_json::from_str(&said).map_err(|_| Error::Unreadable { from: format!("{method} {path}"), said })
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

/// A client for a kubeconfig; to be made on the node, whose files it names.
pub(super) async fn client(access: Value) -> Result<Client, kube::Error> {
    let config: Kubeconfig = serde_json::from_value(access).map_err(kube::Error::SerdeError)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(|error| kube::Error::Service(error.into()))?)
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread");
    runtime.block_on(future)
}

pub(super) fn system(doing: &str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::System { doing: doing.to_owned(), source }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
