//! Tests of ../../../../deploy's Kubernetes manifests against the command line that they use. Tests only.

use std::collections::BTreeMap;

use clap::Parser;
use serde_json::{Value, json};

use crate::command::{Cli, Command};

const MANIFEST: &str = include_str!("../../../../deploy/kubernetes/podlan.yaml");
const CLEANUP: &str = include_str!("../../../../deploy/kubernetes/cleanup/cleanup.yaml");
const COMPONENT: &str = include_str!("../../../../deploy/kubernetes/cleanup/kustomization.yaml");
const KUSTOMIZATION: &str = include_str!("../../../../deploy/kubernetes/kustomization.yaml");
const CONTAINERFILE: &str = include_str!("../../../../deploy/Containerfile");

/// The paths of the node that the agent may access, and why.
const HOST_PATHS: [(&str, &str); 4] = [
    ("/opt/cni/bin", "the plugins, which the runtime executes"),
    ("/etc/cni/net.d", "the conflist, which the runtime reads"),
    ("/run/podlan", "what the agent says of itself, and the leases"),
    ("/run/netns", "whether a lease's pod is there"),
];

fn objects() -> Vec<Value> {
    serde_saphyr::from_multiple(MANIFEST).unwrap()
}

fn one(kind: &str) -> Value {
    let objects = objects().into_iter().filter(|object| object["kind"] == kind);
    let [object] = objects.collect::<Vec<_>>().try_into().unwrap_or_else(|all| panic!("one {kind}: {all:?}"));
    object
}

fn pod() -> Value {
    one("DaemonSet")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    let [container] = pod()["containers"].as_array().unwrap().clone().try_into().unwrap();
    container
}

/// The values under `key` of a list of objects, by their names.
fn by_name(list: &Value, key: &str) -> BTreeMap<String, Value> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| (item["name"].as_str().unwrap().to_owned(), item[key].clone())).collect()
}

fn environment(name: &str) -> Value {
    let env = container()["env"].as_array().unwrap().clone();
    env.into_iter().find(|variable| variable["name"] == name).unwrap_or_default()
}

#[test]
fn the_agent_has_one_capability_and_nothing_else() {
    let context = &container()["securityContext"];
    let exact = json!({
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(*context, exact);
    let pod = pod();
    assert_eq!(pod["hostNetwork"], true);
    for other in ["hostPID", "hostIPC", "securityContext", "initContainers", "shareProcessNamespace"] {
        assert_eq!(pod[other], Value::Null, "{other}");
    }
}

#[test]
fn the_agent_reads_nodes_and_nothing_else_of_the_api() {
    let rules = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]);
    assert_eq!(one("ClusterRole")["rules"], rules);
    let binding = one("ClusterRoleBinding");
    let account = one("ServiceAccount")["metadata"].clone();
    let subject = json!([{"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}]);
    assert_eq!(binding["subjects"], subject);
    assert_eq!(binding["roleRef"]["kind"], "ClusterRole");
    assert_eq!(binding["roleRef"]["name"], one("ClusterRole")["metadata"]["name"]);
    assert_eq!(pod()["serviceAccountName"], account["name"]);
    assert_eq!(one("DaemonSet")["metadata"]["namespace"], account["namespace"]);
    let kinds: Vec<Value> = objects().iter().map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"]);
}

#[test]
fn every_host_path_is_explained_made_where_it_is_missing_and_mounted() {
    let pod = pod();
    let volumes = by_name(&pod["volumes"], "hostPath");
    let mut paths: Vec<&Value> = volumes.values().map(|host| &host["path"]).collect();
    paths.sort_by_key(|path| path.to_string());
    let mut explained = HOST_PATHS.map(|(path, _)| path);
    explained.sort_unstable();
    assert_eq!(paths, explained);
    assert!(volumes.values().all(|host| host["type"] == "DirectoryOrCreate"), "{volumes:?}");

    let mounts = container()["volumeMounts"].as_array().unwrap().clone();
    for mount in &mounts {
        let host = &volumes[mount["name"].as_str().unwrap()]["path"];
        let at = mount["mountPath"].as_str().unwrap();
        // The conflist names paths of the host: they must be the same here.
        assert_eq!(at.trim_start_matches("/var"), host.as_str().unwrap(), "{mount}");
        let netns = host == "/run/netns";
        assert_eq!(mount["readOnly"] == true, netns, "{mount}");
        assert_eq!(mount["mountPropagation"] == "HostToContainer", netns, "{mount}");
    }
    assert_eq!(mounts.iter().filter(|mount| mount["name"] == "netns").count(), 2, "runtimes name either path");
    assert_eq!(mounts.len(), volumes.len() + 1);
}

#[test]
fn the_arguments_are_those_of_run_and_name_what_is_mounted() {
    let args: Vec<String> = serde_json::from_value(container()["args"].clone()).unwrap();
    let node_name = "--node-name=the-downward-api-says".to_owned();
    let cli = Cli::try_parse_from(["podlan-node".to_owned()].into_iter().chain(args.clone()).chain([node_name]));
    assert!(matches!(cli.unwrap().command, Command::Run(_)));
    assert_eq!(environment("NODE_NAME")["valueFrom"], json!({"fieldRef": {"fieldPath": "spec.nodeName"}}));
    for argument in ["--cni-bin-dir=/opt/cni/bin", "--cni-conf-dir=/etc/cni/net.d", "--masquerade"] {
        assert!(args.iter().any(|given| given == argument), "{argument}");
    }
    assert!(!args.iter().any(|given| given.starts_with("--chain")), "a chained plugin costs each pod two programs");
    let spaces = args.iter().filter(|argument| argument.contains(' '));
    assert_eq!(spaces.count(), 0, "two words in one argument");
}

#[test]
fn the_probes_ask_where_the_agent_listens() {
    let listen: std::net::SocketAddr = environment("PODLAN_LISTEN")["value"].as_str().unwrap().parse().unwrap();
    let container = container();
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = json!({"host": listen.ip().to_string(), "port": listen.port(), "path": path});
        assert_eq!(container[probe]["httpGet"], get);
    }
    // Three heartbeats are missed before the agent counts as stuck; only then may it be restarted.
    let seconds = |key: &str| container["livenessProbe"][key].as_u64().unwrap();
    assert!(seconds("periodSeconds") * seconds("failureThreshold") > state::HEARTBEAT.as_secs() * 3);
}

#[test]
fn the_agent_comes_to_every_node_and_before_all_else() {
    let pod = pod();
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(one("DaemonSet")["spec"]["updateStrategy"]["type"], "RollingUpdate");
    let labels = &one("DaemonSet")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(one("DaemonSet")["spec"]["selector"]["matchLabels"], *labels);
    assert_ne!(container()["resources"]["requests"], Value::Null);
    // A CPU limit would slow the agent when most happens.
    assert_eq!(container()["resources"]["limits"]["cpu"], Value::Null);
}

#[test]
fn the_image_has_one_name_and_one_way_to_be_made() {
    let image = format!("localhost/podlan:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container()["image"], json!(image));
    assert_eq!(container()["imagePullPolicy"], "IfNotPresent");
    assert!(CONTAINERFILE.contains(&format!("--tag {image} ")), "{CONTAINERFILE}");
    let script = include_str!("../../../../scripts/image");
    assert!(script.contains("name=localhost/podlan:$version\n"));
    // Both must produce the same image: the files, the path, the entry point.
    for (of_script, of_containerfile) in [
        (r#""Entrypoint":["/bin/podlan-node"]"#, r#"ENTRYPOINT ["/bin/podlan-node"]"#),
        (r#""Env":["PATH=/bin"]"#, "ENV PATH=/bin"),
        ("{podlan,podlan-ipam,podlan-node}", "podlan target/"),
        (r#"title\":\"podlan\""#, r#"title="podlan""#),
        (r#"description\":\"node agent and CNI plugins"#, r#"description="node agent and CNI plugins"#),
        (r#"licenses\":\"Apache-2.0\""#, r#"licenses="Apache-2.0""#),
    ] {
        assert!(script.contains(of_script), "{of_script}");
        assert!(CONTAINERFILE.contains(of_containerfile), "{of_containerfile}");
    }
    assert!(CONTAINERFILE.contains("FROM scratch\n"));
    for name in install::BINARIES.into_iter().chain(["podlan-node"]) {
        assert!(CONTAINERFILE.contains(&format!("target/${{TARGET}}/release/{name} ")), "{name}");
    }
}

/// Its privileges, mounts and nodes are the agent's, but it does not use the API.
#[test]
fn the_cleanup_has_the_agents_privileges_and_undoes_what_the_agent_was_configured_to_do() {
    let cleanup: Value = serde_saphyr::from_str(CLEANUP).unwrap();
    let (theirs, ours) = (&cleanup["spec"]["template"]["spec"], pod());
    for same in ["hostNetwork", "volumes", "tolerations", "priorityClassName", "nodeSelector"] {
        assert_eq!(theirs[same], ours[same], "{same}");
    }
    assert_eq!(theirs["automountServiceAccountToken"], false);
    assert_eq!(theirs["serviceAccountName"], Value::Null);
    let container = container();
    let theirs = &theirs["containers"][0];
    for same in ["image", "imagePullPolicy", "securityContext", "volumeMounts", "resources"] {
        assert_eq!(theirs[same], container[same], "{same}");
    }
    let args: Vec<String> = serde_json::from_value(theirs["args"].clone()).unwrap();
    let cli = Cli::try_parse_from(["podlan-node".to_owned()].into_iter().chain(args.clone()));
    assert!(matches!(cli.unwrap().command, Command::Cleanup(_)));
    let ours: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let install = ours.iter().filter(|argument| argument.starts_with("--cni-"));
    assert!(install.clone().count() == 2 && install.clone().all(|argument| args.contains(argument)), "{args:?}");
}

#[test]
fn the_kustomize_base_is_the_manifest() {
    let base: Value = serde_saphyr::from_str(KUSTOMIZATION).unwrap();
    assert_eq!(base["resources"], json!(["podlan.yaml"]));
}

/// What stays is the cleanup alone: with an object of the agent, `kubectl apply -k` would make the agent again.
#[test]
fn the_component_of_the_cleanup_replaces_every_object_of_the_manifest() {
    let component: Value = serde_saphyr::from_str(COMPONENT).unwrap();
    assert_eq!((&component["kind"], &component["resources"]), (&json!("Component"), &json!(["cleanup.yaml"])));
    let name = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        [&object["apiVersion"], &object["kind"], &metadata["name"], &metadata["namespace"]].map(text)
    };
    let patches = component["patches"].as_array().unwrap().iter();
    let mut removed: Vec<_> = patches
        .map(|patch| serde_saphyr::from_str::<Value>(patch["patch"].as_str().unwrap()).unwrap())
        .inspect(|patch| assert_eq!(patch["$patch"], "delete", "{patch}"))
        .map(|patch| name(&patch))
        .collect();
    let mut all: Vec<_> = objects().iter().map(name).collect();
    removed.sort();
    all.sort();
    assert_eq!(removed, all);
}
