//! The configuration of the cluster's parts, so that they run in a user namespace and leave the machine unchanged.

use serde_json::{Value, json};

use crate::kubernetes::server::{Settings, User};

/// The controller manager assigns from them: a /24 and a /64 to each node.
pub const POD_CIDRS: &str = "10.244.0.0/16,fd00:10:244::/56";
/// Those of the API server of ../apiserver.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:10:96::/112";

/// The address of the pods' resolver; dns.rs starts a server there.
pub const DNS: &str = "10.96.0.10";

pub const MANAGER: User = User { name: "system:kube-controller-manager", group: "system:masters" };
pub const SCHEDULER: User = User { name: "system:kube-scheduler", group: "" };
pub const PROXY: User = User { name: "system:kube-proxy", group: "" };
/// The kubelet of each node.
pub const KUBELETS: [User; 3] = [
    User { name: "system:node:node1", group: "system:nodes" },
    User { name: "system:node:node2", group: "system:nodes" },
    User { name: "system:node:node3", group: "system:nodes" },
];

/// An API server for a whole cluster.
pub fn control_plane() -> Settings {
    const USERS: &[User] = &[MANAGER, SCHEDULER, PROXY, KUBELETS[0], KUBELETS[1], KUBELETS[2]];
    Settings { gates: "", users: USERS, files: Vec::new(), flags }
}

fn flags(_port: u16) -> Vec<String> {
    let words = ["--authorization-mode=Node,RBAC", "--allow-privileged", "--enable-admission-plugins=NodeRestriction"];
    let words = words.into_iter().chain(["--kubelet-preferred-address-types=InternalIP", "--profiling=false"]);
    words.map(str::to_owned).collect()
}

/// A kubelet without cgroups and without write access to the kernel's settings. `root` survives a reboot.
pub fn kubelet(root: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "featureGates": { "KubeletInUserNamespace": true },
        "cgroupsPerQOS": false, "enforceNodeAllocatable": [], "failCgroupV1": false, "cgroupDriver": "cgroupfs",
        "failSwapOn": false, "protectKernelDefaults": false, "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podLogsDir": format!("{root}/logs"), "volumePluginDir": format!("{root}/plugins"),
        "staticPodPath": "", "resolvConf": "", "clusterDNS": [DNS], "clusterDomain": "cluster.local",
        // The API server requests logs and commands as an anonymous user.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "address": "0.0.0.0", "healthzPort": 10248, "readOnlyPort": 0,
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%",
                          "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%" },
        "imageGCHighThresholdPercent": 100, "imageMinimumGCAge": "24h",
        "localStorageCapacityIsolation": false,
        "nodeStatusUpdateFrequency": "2s", "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "10s", "fileCheckFrequency": "20s", "volumeStatsAggPeriod": "1h",
        "maxPods": 150, "registryPullQPS": 0, "eventRecordQPS": 0, "kubeAPIQPS": 100, "kubeAPIBurst": 200,
        "logging": { "verbosity": 1 },
    })
}

/// A proxy that leaves conntrack's limits, which belong to the machine, alone.
pub fn proxy(node: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables", "hostnameOverride": node, "clusterCIDR": POD_CIDRS,
        "bindAddress": "0.0.0.0", "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": { "kubeconfig": "/etc/kubernetes/proxy.conf" },
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
                       "udpTimeout": "0s", "udpStreamTimeout": "0s" },
        "nftables": { "minSyncPeriod": "100ms", "syncPeriod": "30s" },
    })
}
