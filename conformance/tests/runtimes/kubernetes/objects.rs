//! The objects of the checks, as a user would write them.

use serde_json::{Value, json};

use crate::containerd_2::image;
use crate::kubernetes::cluster::{INSIDE, LAB};

/// The port that the pods serve on.
pub const PORT: u16 = 7777;

/// Where pods of namespace default are made and listed.
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// A container that answers every request with the address it saw. It is ready by a command, and alive by HTTP.
fn server() -> Value {
    json!({
        "name": "server", "image": image::NAME, "imagePullPolicy": "Never",
        "command": [LAB, "serve", "--port", PORT.to_string()],
        "ports": [{ "containerPort": PORT }],
        "readinessProbe": { "exec": { "command": [LAB, "probe", "tcp=127.0.0.1"] }, "periodSeconds": 1,
                            "timeoutSeconds": 20 },
        "livenessProbe": { "httpGet": { "path": "/", "port": PORT }, "periodSeconds": 5, "timeoutSeconds": 20,
                           "failureThreshold": 3 },
    })
}

/// A pod of one container on a node of this name.
pub fn pod(name: &str, node: &str, container: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "nodeSelector": { "kubernetes.io/hostname": node }, "containers": [container],
                  "terminationGracePeriodSeconds": 0 },
    })
}

/// A pod that serves.
pub fn serving(name: &str, node: &str) -> Value {
    pod(name, node, &server())
}

/// A pod that serves at a port of its node too.
pub fn serving_at(name: &str, node: &str, host_port: u16) -> Value {
    let mut container = server();
    container["ports"] = json!([{ "containerPort": PORT, "hostPort": host_port }]);
    pod(name, node, &container)
}

/// A pod whose readiness is an HTTP answer from a port without a server: it is never ready.
pub fn never_ready(name: &str, node: &str) -> Value {
    let mut container = server();
    container["readinessProbe"] = json!({ "httpGet": { "path": "/", "port": PORT + 1 }, "periodSeconds": 1 });
    pod(name, node, &container)
}

/// A pod that is ready by HTTP.
pub fn ready_by_http(name: &str, node: &str) -> Value {
    let mut container = server();
    container["readinessProbe"] =
        json!({ "httpGet": { "path": "/", "port": PORT }, "periodSeconds": 1, "timeoutSeconds": 20 });
    pod(name, node, &container)
}

/// A pod that sends requests to these servers without end.
pub fn asking(name: &str, node: &str, servers: &[String]) -> Value {
    let mut command = vec![LAB.to_owned(), "steady".to_owned()];
    command.extend_from_slice(servers);
    pod(name, node, &json!({ "name": "client", "image": image::NAME, "imagePullPolicy": "Never", "command": command }))
}

/// This number of pods, spread over the nodes; with their probes, or without, as many small ones.
pub fn deployment(name: &str, replicas: u16, probed: bool) -> Value {
    let mut container = server();
    if !probed {
        container =
            json!({ "name": "pause", "image": image::NAME, "imagePullPolicy": "Never", "command": [INSIDE, "pause"] });
    }
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": {
                "containers": [container], "terminationGracePeriodSeconds": 0,
                "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": labels } }],
            } },
        },
    })
}

/// A service of both families, at port 80.
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "ipFamilyPolicy": "RequireDualStack", "selector": { "app": name },
                  "ports": [{ "port": 80, "targetPort": PORT }] },
    })
}
