//! A pod of a manifest of ../../../deploy, created as kubelet creates it in the runtime: image, arguments, mounts and
//! privileges are read from the manifest, and a field that is not supported here makes the test fail. The differences
//! from a cluster are: the nodes come from the lab's file in place of the API, and the runtime's directories are this
//! node's.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podlan_conformance::lab::{Lab, SHARED};
use serde_json::{Value, json};

use super::cri::*;
use super::pod::{Container, Pod};
use super::rig::Worker;

/// Paths that kubelet hides from a container that is not privileged, and paths that it makes read-only.
const MASKED: [&str; 4] = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list"];
const READ_ONLY: [&str; 6] = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The grace period of a pod that ends.
const GRACE: Duration = Duration::from_secs(5);

/// The pod template of a DaemonSet.
pub struct Template(Value);

/// A pod of it on one node.
pub struct Deployed<'a> {
    pod: Pod<'a>,
    container: Container<'a>,
}

impl Template {
    /// The template of the only DaemonSet in a file of deploy/kubernetes.
    pub fn of(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let mut sets = objects.into_iter().filter(|object| object["kind"] == "DaemonSet");
        Self(sets.next().unwrap()["spec"]["template"]["spec"].take())
    }

    /// The same with deploy/seccomp in place of the runtime's own profile, as in docs/install.md.
    pub fn with_the_shipped_profile(mut self) -> Self {
        let profile = json!({"type": "Localhost", "localhostProfile": "podlan-node.json"});
        self.0["containers"][0]["securityContext"]["seccompProfile"] = profile;
        self
    }

    /// The address at which the agent serves health and metrics.
    pub fn listens(&self) -> SocketAddr {
        self.environment().into_iter().find(|pair| pair.key == "PODLAN_LISTEN").unwrap().value.parse().unwrap()
    }

    /// Starts the pod on a node, from `image` in place of the manifest's, if given.
    pub fn start<'a>(&self, name: &str, worker: &Worker<'a>, image: Option<&str>) -> Deployed<'a> {
        assert_eq!(self.0["hostNetwork"], true);
        let on_the_host = NamespaceOption { network: NamespaceMode::Node.into(), ..NamespaceOption::default() };
        let security = LinuxSandboxSecurityContext { namespace_options: Some(on_the_host) };
        let mut config = super::pod::config(name);
        config.hostname = String::new();
        config.linux = Some(LinuxPodSandboxConfig { security_context: Some(security) });
        let pod = Pod::run(&worker.containerd.cri, config).unwrap();
        let container = pod.start(self.container(worker, image));
        Deployed { pod, container }
    }

    fn container(&self, worker: &Worker<'_>, image: Option<&str>) -> ContainerConfig {
        let container = &self.0["containers"][0];
        let image = image.unwrap_or_else(|| text(&container["image"])).to_owned();
        let mut envs = self.environment();
        for pair in &mut envs {
            if pair.value == "spec.nodeName" {
                pair.value = worker.node.name().to_owned();
            }
        }
        let mut mounts: Vec<Mount> =
            items(&container["volumeMounts"]).iter().map(|at| self.mount(at, worker)).collect();
        let nodes = Mount { container_path: SHARED.into(), host_path: SHARED.into(), readonly: true, propagation: 0 };
        mounts.push(nodes);
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: text(&container["name"]).to_owned() }),
            image: Some(ImageSpec { image }),
            command: Vec::new(),
            args: items(&container["args"]).iter().flat_map(|argument| arguments(text(argument))).collect(),
            envs,
            mounts,
            linux: Some(LinuxContainerConfig { security_context: Some(security(&container["securityContext"])) }),
        }
    }

    fn environment(&self) -> Vec<KeyValue> {
        let pair = |variable: &Value| KeyValue {
            key: text(&variable["name"]).to_owned(),
            value: text(variable.get("value").unwrap_or(&variable["valueFrom"]["fieldRef"]["fieldPath"])).to_owned(),
        };
        self.0["containers"][0]["env"].as_array().into_iter().flatten().map(pair).collect()
    }

    fn mount(&self, at: &Value, worker: &Worker<'_>) -> Mount {
        let volume = items(&self.0["volumes"]).iter().find(|volume| volume["name"] == at["name"]).unwrap();
        let path = text(&volume["hostPath"]["path"]);
        assert_eq!(volume["hostPath"]["type"], "DirectoryOrCreate");
        let host: PathBuf = match path {
            "/opt/cni/bin" => worker.containerd.bin_dir(),
            "/etc/cni/net.d" => worker.containerd.conf_dir(),
            other => other.into(),
        };
        // What kubelet does itself.
        worker.node.place().enter(|| std::fs::create_dir_all(&host)).unwrap().unwrap();
        let propagation = match at["mountPropagation"].as_str() {
            None => MountPropagation::Private,
            Some("HostToContainer") => MountPropagation::HostToContainer,
            Some(other) => panic!("mountPropagation: {other}"),
        };
        Mount {
            container_path: text(&at["mountPath"]).to_owned(),
            host_path: host.to_str().unwrap().to_owned(),
            readonly: at["readOnly"] == true,
            propagation: propagation.into(),
        }
    }
}

impl Deployed<'_> {
    /// Ends the pod as kubelet does.
    pub fn end(self) {
        self.container.stop(GRACE);
        self.pod.end();
    }

    /// The system calls that runc was configured to allow.
    pub fn allowed_calls(&self, worker: &Worker<'_>) -> BTreeSet<String> {
        let spec = worker.containerd.spec(&self.container.id);
        let rules = items(&spec["linux"]["seccomp"]["syscalls"]);
        rules.iter().flat_map(|rule| items(&rule["names"])).map(|name| text(name).to_owned()).collect()
    }

    /// Runs a command of the image beside the agent.
    pub fn run(&self, command: &[&str]) -> String {
        self.container.run(command)
    }
}

/// The lab's file of nodes in place of the API.
fn arguments(argument: &str) -> Vec<String> {
    match argument {
        "--kubernetes" => vec!["--nodes".to_owned(), Lab::NODES_FILE.to_owned()],
        other => vec![other.to_owned()],
    }
}

/// The meaning of a manifest's securityContext for the runtime; each of its fields must be supported.
fn security(context: &Value) -> LinuxContainerSecurityContext {
    let known = [
        "allowPrivilegeEscalation",
        "capabilities",
        "privileged",
        "readOnlyRootFilesystem",
        "runAsGroup",
        "runAsUser",
        "seccompProfile",
    ];
    let keys = context.as_object().unwrap().keys();
    assert_eq!(keys.filter(|key| !known.contains(&key.as_str())).count(), 0, "{context}");
    assert_eq!(context["privileged"], false);
    let words = |list: &Value| items(list).iter().map(|word| text(word).to_owned()).collect();
    let id = |id: &Value| Some(Int64Value { value: id.as_i64().unwrap() });
    LinuxContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: words(&context["capabilities"]["add"]),
            drop_capabilities: words(&context["capabilities"]["drop"]),
        }),
        namespace_options: Some(NamespaceOption {
            network: NamespaceMode::Node.into(),
            pid: NamespaceMode::Container.into(),
            ..NamespaceOption::default()
        }),
        run_as_user: id(&context["runAsUser"]),
        run_as_group: id(&context["runAsGroup"]),
        readonly_rootfs: context["readOnlyRootFilesystem"] == true,
        no_new_privs: context["allowPrivilegeEscalation"] == false,
        masked_paths: MASKED.map(str::to_owned).to_vec(),
        readonly_paths: READ_ONLY.map(str::to_owned).to_vec(),
        seccomp: Some(seccomp(&context["seccompProfile"])),
    }
}

/// The node's profiles are in [`SHARED`], in place of kubelet's own directory.
fn seccomp(profile: &Value) -> SecurityProfile {
    match text(&profile["type"]) {
        "RuntimeDefault" => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() }
        }
        "Localhost" => {
            let name = text(&profile["localhostProfile"]);
            let path = Path::new(SHARED).join(name);
            std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/seccomp").join(name), &path).unwrap();
            SecurityProfile {
                profile_type: ProfileType::Localhost.into(),
                localhost_ref: path.to_str().unwrap().to_owned(),
            }
        }
        other => panic!("seccompProfile: {other}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}
