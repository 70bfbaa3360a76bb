//! The actions of an operator on the control plane, and what can be read from it afterwards.

use std::fs;

use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use podlan_conformance::lab::{Error, eventually};
use serde_json::{Value, json};

use super::server::{ADMIN, FOLDER, FRONT, START, Server, Settings, User, block_on, client, system};

/// A second server on the same etcd, as in a control plane of several nodes.
pub(super) const BACK: u16 = 6444;

/// Has the permissions of the cluster role `podlan-node`, and gets them by [`Server::allow`] only.
pub(super) const AGENT: User = User { name: "podlan-node", group: "" };

/// The agent's permissions for nodes; it has no others.
const VERBS: [&str; 3] = ["get", "list", "watch"];

/// A control plane that writes an audit log, with these feature gates changed.
pub(super) fn noting(gates: &'static str) -> Settings {
    Settings { gates, users: &[AGENT], files: vec![("audit.json", audit_policy().to_string())], flags }
}

fn flags(port: u16) -> Vec<String> {
    let log = format!("{FOLDER}/audit-{port}.log");
    let policy = format!("{FOLDER}/audit.json");
    let words = ["--endpoint-reconciler-type", "none", "--authorization-mode", "RBAC", "--audit-policy-file", &policy];
    let words = words.into_iter().chain(["--audit-log-path", &log, "--audit-log-mode", "blocking"]);
    words.map(str::to_owned).collect()
}

fn audit_policy() -> Value {
    json!({ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["ResponseStarted", "ResponseComplete"],
            "rules": [{ "level": "Metadata" }] })
}

impl Server<'_> {
    /// Kills the API server on `port`, as the kernel does when memory is short.
    pub(super) fn kill(&self, port: u16) {
        self.place_of(port).take();
    }

    /// Kills everything, and starts again with an empty store.
    pub(super) fn restart_empty(&self) -> Result<(), Error> {
        self.kill(FRONT);
        self.etcd.take();
        fs::remove_dir_all(self.node.path(FOLDER).join("etcd")).map_err(system("empty the store"))?;
        self.start_etcd()?;
        self.open(FRONT)
    }

    /// Advances the store by this number of versions.
    pub(super) fn grow_older(&self, versions: usize) -> Result<(), Error> {
        const TICKS: &str = "/api/v1/namespaces/default/configmaps";
        self.has_namespace("default")?;
        let tick = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "tick-" } });
        let done = self.texts(FRONT, versions, &Method::POST, TICKS, tick.to_string().as_bytes());
        done.map(drop).map_err(|said| Error::Unreadable { from: format!("POST {TICKS}"), said })
    }

    /// Creates a node.
    pub(super) fn create(&self, node: &Value) -> Result<(), Error> {
        self.call(FRONT, Method::POST, "/api/v1/nodes", node).map(drop)
    }

    /// Creates many nodes over one connection, some at a time.
    pub(super) fn create_all(&self, nodes: impl Iterator<Item = Value> + Send) -> Result<(), Error> {
        let access = self.access(FRONT, ADMIN);
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

    /// Assigns pod CIDRs to a node without any, as the controller manager does.
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

    /// Grants the agent's permissions to its user, or to a service account.
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

    /// The requests of `user` so far: `verb resource`, and the address that they went to.
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

    /// The server creates its namespaces itself, some time after it reports ready.
    fn has_namespace(&self, name: &str) -> Result<(), Error> {
        let path = format!("/api/v1/namespaces/{name}");
        eventually(START, &format!("{path} is there"), || self.text(FRONT, Method::GET, &path, &Value::Null).map(drop))
    }

    /// Creates a service account and the files that a pod of it would see on the node.
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
