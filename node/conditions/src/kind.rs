//! The registry: every kind of condition with its name, its severity, why it matters and what an operator does about it.
//! `docs/conditions.md` and the alerts are generated from it.

use serde::{Deserialize, Serialize};

/// How bad a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is lost yet.
    Info,
    /// Something will fail, or fails for some.
    Warning,
    /// Pods are cut off, can send with forged addresses, or cannot start.
    Critical,
}

impl Severity {
    /// The name in metrics, JSON and docs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

macro_rules! kinds {
    ($($kind:ident $name:literal $severity:ident $why:literal $cure:literal;)*) => {
        /// A kind of condition. Its name is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = $why] #[serde(rename = $name)] $kind,)*
            /// A kind of a newer release.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Kind {
            /// All kinds of this release.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name in metrics, JSON and docs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* Self::Unknown => "unknown" }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)* Self::Unknown => Severity::Warning }
            }

            /// Why it matters, in one sentence.
            pub fn why(self) -> &'static str {
                match self { $(Self::$kind => $why,)* Self::Unknown => "a newer release of podlan reported it" }
            }

            /// What an operator does about it, where a condition says nothing more exact.
            pub fn cure(self) -> &'static str {
                match self { $(Self::$kind => $cure,)* Self::Unknown => "podlan-node doctor of that release explains it" }
            }
        }
    };
}

kinds! {
    // The agent.
    AgentGone "agent-gone" Critical
        "routes are no longer maintained: new nodes are unreachable, and a removed route is not restored"
        "read the end of its log, and start it again; end one that hangs first: a second one does not start beside it";
    AgentNotReady "agent-not-ready" Critical
        "a runtime that calls STATUS (containerd 2) reports the node NotReady; with others ADD fails only until this node's routes were made once since boot"
        "fix what the reason names; podlan-node status shows when the agent is ready";

    // The list of nodes.
    NodeListUnreadable "node-list-unreadable" Warning
        "the last good list stays in force: nodes that joined or moved since then are unreachable"
        "fix what the error names: the line of the file, or the connection to the API server";
    WithdrawalHeld "withdrawal-held" Warning
        "a list that loses so many nodes at once is usually a mistake"
        "restore the list within --withdraw-hold (60 s); if those nodes are really gone: podlan-node release-withdrawal";
    NodeConflict "node-conflict" Critical
        "two nodes give their pods the same addresses: other nodes reach only the pods of the first one by name"
        "give that node a CIDR and an address of its own in the list of nodes (in Kubernetes: drain it, delete its Node object and restart its kubelet, which registers it again)";
    NodeUnusable "node-unusable" Warning
        "there is no route to that node: its pods are unreachable"
        "give that node a CIDR and an address of its own in the list of nodes (in Kubernetes: drain it, delete its Node object and restart its kubelet, which registers it again)";
    NodeMalformed "node-malformed" Warning
        "what cannot be read is ignored, and its last good routes stay"
        "correct that node in the list of nodes";
    NodeNotListed "node-not-listed" Warning
        "its pods are reached by its last good entry; no other node may have that address or CIDR"
        "list the node with its address and CIDR again, or release what is kept: podlan-node release-withdrawal";

    // Routes.
    RouteMissing "route-missing" Critical
        "pods of that node are unreachable from this node"
        "a running agent restores it; without one run the command that podlan-node doctor prints";
    OwnRouteMissing "own-route-missing" Warning
        "packets to addresses that no pod has leave the node by its default route, and may come back"
        "a running agent restores it; without one run the command that podlan-node doctor prints";
    RouteRefused "route-refused" Critical
        "pods of that node are unreachable from this node"
        "see how the kernel reaches that node's address and its gateway: ip route get ADDRESS";
    RouteReplaced "route-replaced" Critical
        "a route of another program is in the place of podlan's"
        "find the program that made it, stop it, and remove its route";
    ForeignRoute "foreign-route" Warning
        "where it is more specific or has the lower metric, packets to those pods follow it instead of podlan's route"
        "find the program that made it: two programs must not manage routes of one subnet";
    PeerNotRouted "peer-not-routed" Critical
        "pods of that node are unreachable from this node"
        "podlan-node status and podlan-node doctor, check nodes, say why podlan makes no route";
    PolicyRule "policy-rule" Critical
        "packets to those pods follow another table than the one with podlan's routes"
        "except the pod CIDRs from the rule where it is configured, or add a rule for them before it";
    NextHopSilent "next-hop-silent" Warning
        "packets to the pods of that node are lost: the kernel does not know its link-layer address"
        "see whether that node is up and on this link's segment";
    DuplicateAddress "duplicate-address" Critical
        "packets to the pods of both nodes go to whichever of them answers"
        "give each node an InternalIP of its own";
    NeighbourTableSmall "neighbour-table-small" Warning
        "when the neighbour table is full, packets to nodes that are not in it are dropped"
        "raise gc_thresh3 of that family above the number of neighbours";
    UplinkDown "uplink-down" Critical
        "nothing is received from other nodes by this link or sent to them"
        "set the link up, or check its cable, switch or virtual switch";
    UplinkMtu "uplink-mtu" Warning
        "large packets between nodes do not fit: connections open and then hang"
        "give pods the MTU of the link (--mtu), or raise the MTU of the link";

    // What the kernel and others' rules do to packets.
    ForwardingOff "forwarding-off" Critical
        "the node drops packets between its pods and between them and other nodes"
        "podlan-node doctor --fix, and find what switched it off";
    RouterAdvertisement "router-advertisement" Warning
        "a node that forwards IPv6 ignores router advertisements unless accept_ra is 2: it would lose what it learned"
        "set accept_ra of that link to 2";
    Ipv6Off "ipv6-off" Critical
        "no pod gets its IPv6 address: every ADD on this node fails"
        "enable IPv6 in the kernel, or, where a nodes file lists this node, remove its IPv6 CIDR there";
    KernelPartMissing "kernel-part-missing" Critical
        "pods cannot start, or can send with the address of another pod or node"
        "load the module, or run a kernel with the option that the condition names: podlan-node doctor --kernel";
    KernelNatMissing "kernel-nat-missing" Warning
        "pods have no host ports, and their traffic leaves the cluster with their own addresses"
        "load the modules, or run a kernel with the options that the condition names: podlan-node doctor --kernel";
    RpFilterOff "rp-filter-off" Warning
        "only the agent's packet filter rule prevents those pods from sending with another pod's address"
        "set rp_filter of the pod links to 1, and find what resets it";
    ReversePathDrop "reverse-path-drop" Critical
        "a strict reverse path filter drops packets that arrive on another link than the reply takes"
        "route the reply over the same link, or set rp_filter of the link to 2";
    SourceRuleMissing "source-rule-missing" Critical
        "a pod can send with the address of another pod or node"
        "a running agent restores it at once; the kernel needs nf_tables and nft_fib";
    ArpGuardMissing "arp-guard-missing" Warning
        "the node answers ARP requests of its LAN for 169.254.1.1, the gateway of every pod"
        "a running agent restores it at once; the kernel needs nf_tables";
    HostPortsMissing "host-ports-missing" Critical
        "nobody reaches those pods by the ports of this node"
        "a running agent restores them at once; without one, the next pod with a host port restores all of them";
    ForwardDrop "forward-drop" Critical
        "pods of this node and of other nodes do not reach each other, whatever the routes and podlan's own rules are"
        "change the rule where it is configured, or run the agent with --accept-forward";
    AddressTranslated "address-translated" Critical
        "the receiver does not see the sender's own address"
        "find the program that made the rule: traffic between pods must not be translated";
    SourceAddress "source-address" Warning
        "probes and policies expect the node's InternalIP: a NetworkPolicy that allows the node does not match"
        "set hostSource in the conflist of podlan";

    // Pods.
    NoSuchPod "no-such-pod" Warning
        "packets to the address are answered \"destination unreachable\""
        "check the address: podlan-node leases lists those of this node";
    PodInterfaceDown "pod-interface-down" Critical
        "the pod neither sends nor receives"
        "set the interface in the pod's namespace up, or create the pod again";
    PodLinkMissing "pod-link-missing" Critical
        "the pod can neither send nor receive"
        "create the pod again";
    PodLinkDown "pod-link-down" Critical
        "the pod can neither send nor receive"
        "set the link up, then create the pod again";
    PodSilent "pod-silent" Critical
        "the node does not know the pod's link-layer address, and drops packets to it"
        "set the interface in the pod's namespace up, and let it answer ARP or neighbour solicitations";
    PodSourceRoute "pod-source-route" Critical
        "a pod's packet counts as forged unless its source address is routed back to the pod's link"
        "restore the pod's route, or create the pod again";
    PodAddressLost "pod-address-lost" Critical
        "packets to the pod are answered by nobody, and it cannot send with its address"
        "put the address back in the pod's namespace, or create the pod again";
    PodDefaultRouteLost "pod-default-route-lost" Critical
        "the pod reaches nobody, not even the node"
        "put the route back in the pod's namespace, or create the pod again";
    PodRouteMissing "pod-route-missing" Critical
        "the plugin made that route with the pod, and another program removed it"
        "restore the pod's route, or create the pod again";
    PodMtu "pod-mtu" Warning
        "a pod with a larger MTU than its path sends packets that are lost on the way: connections open and then hang"
        "podlan-node doctor --fix, or create the pods again";

    // Paths between the nodes, as the agents' probes find.
    PathsLost "paths-lost" Critical
        "pods of this node and of those nodes do not reach each other"
        "find who drops packets with pod addresses between the nodes: podlan-node doctor on both, then the network";
    PathsTranslated "paths-translated" Warning
        "pods are not seen with their own address: network policies and logs see another address"
        "let the rule that translates leave out the pod CIDRs";
    PathsTooBig "paths-too-big" Warning
        "connections open and hang as soon as they carry much"
        "give the network between the nodes the pods' MTU, or the pods a smaller one";
    PeersDead "peers-dead" Warning
        "pods of those nodes are unreachable from this node"
        "see whether those nodes run";
    ProbePortClosed "probe-port-closed" Info
        "whether packets of pods pass to those nodes is unknown"
        "allow the probes' UDP port there, or switch the probes off on every node";

    // Addresses, the store and files.
    PoolShared "pool-shared" Critical
        "each network leases independently: two pods of this node can get the same address"
        "give each network a subnet of its own";
    PoolOutside "pool-outside" Critical
        "addresses are unique in the cluster only while each node leases from its own pod CIDRs"
        "set the pool in that file to one of this node's own CIDRs, and create those pods again";
    PoolExhausted "pool-exhausted" Critical
        "new pods of that network fail with \"no IP addresses available\""
        "release the leases of dead pods (podlan-node leases), run fewer pods here, or give the node a larger pod CIDR (in Kubernetes: --node-cidr-mask-size of the controller manager; then drain the node, delete its Node object and restart its kubelet)";
    PoolNearlyExhausted "pool-nearly-exhausted" Warning
        "new pods of that network will soon fail with \"no IP addresses available\""
        "release the leases of dead pods (podlan-node leases), run fewer pods here, or give the node a larger pod CIDR (in Kubernetes: --node-cidr-mask-size of the controller manager; then drain the node, delete its Node object and restart its kubelet)";
    LeaseDead "lease-dead" Warning
        "no other pod gets those addresses; when no address is left, new pods fail"
        "podlan-node doctor --fix releases them; a running agent does so for the stores below its --data-dir";
    StoreUnreadable "store-unreadable" Critical
        "pods of that network can be neither created nor removed while its store cannot be read"
        "if it is damaged, move it away and create the node's pods again: docs/troubleshooting.md, \"is damaged at line\"";
    StoreLocked "store-locked" Critical
        "pods of that network can be neither created nor removed while another process holds the lock of its store"
        "see why that process does not end";
    DiskFull "disk-full" Critical
        "the agent cannot write its state, and the plugin no lease: no pod can start"
        "free room in that file system";
    DiskNearlyFull "disk-nearly-full" Warning
        "when the file system is full, the agent cannot write its state, and the plugin no lease"
        "free room in that file system";
    StoreClock "store-clock" Warning
        "cooldowns end at the wrong time, so that an address may be given again too early"
        "run the runtime's CNI plugins in the node's own time namespace, or move the store away once its pods are gone";
    ConflistMissing "conflist-missing" Critical
        "the runtime creates no pods with podlan on this node"
        "an agent with --cni-conf-dir writes one once its routes are in the kernel; else write one: docs/hosts.md, section 1";
    ConflistNotFirst "conflist-not-first" Critical
        "containerd and CRI-O take the first file by name: pods get the other network, or none"
        "if podlan is to be this node's network, move the other file away";
    ConflistUnreadable "conflist-unreadable" Critical
        "a runtime that reads it hangs or refuses all networks"
        "if podlan is to be this node's network, move that file out of /etc/cni/net.d";
    ConflistTwice "conflist-twice" Warning
        "the runtime takes the first; when that file is removed, pods get the other configuration"
        "move the second file away";
    PluginMissing "plugin-missing" Critical
        "the runtime can neither start nor cleanly stop pods of that network"
        "install the plugin, or remove it from the configuration";
    PluginNotExecutable "plugin-not-executable" Critical
        "the runtime can neither start nor cleanly stop pods of that network"
        "make the file executable, or install it again";
    LoopbackMissing "loopback-missing" Critical
        "containerd runs it for each pod beside podlan: no pod can start"
        "install the reference plugins, or set use_internal_loopback = true in containerd's configuration";
    PluginVersion "plugin-version" Warning
        "a plugin and an agent of different versions may disagree about the store's format or about podlan's objects"
        "install the plugin again";
}

#[cfg(test)]
mod tests;
