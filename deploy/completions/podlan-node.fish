# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_podlan_node_global_optspecs
    string join \n h/help V/version
end

function __fish_podlan_node_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_podlan_node_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_podlan_node_using_subcommand
    set -l cmd (__fish_podlan_node_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c podlan-node -n "__fish_podlan_node_needs_command" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -s V -l version -d 'Print version'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "run" -d 'Run the agent: install and maintain this node\'s routes to the pod subnets of the other nodes'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "status" -d 'Show the state of the running agent: whether it is ready, and its verdict on each peer'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "leases" -d 'List the leases of this node: each address and its owner'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "doctor" -d 'Check this node: show what is wrong, why it matters and how to fix it; needs no agent'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "trace" -d 'Trace packets between two pods in both directions: each hop on this node, what is wrong there, and whether the addresses are kept'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "adopt" -d 'Take over the leases of another IPAM plugin, so that its pods keep running with their addresses'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "report" -d 'Write one archive with what is needed to understand this node from elsewhere, without secrets; needs no agent'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "release-withdrawal" -d 'Apply a large route withdrawal that the running agent holds, and forget the values that it keeps for nodes whose list entry lacks them'
complete -c podlan-node -n "__fish_podlan_node_needs_command" -f -a "cleanup" -d 'Remove what the agent created, after it has stopped, and show what is left'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l node-name -d 'This node\'s name in the list of nodes' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l nodes -d 'Read the nodes from a NodeList in JSON or YAML (`kubectl get nodes -o json` or `-o yaml`) or a directory of such files, and watch it' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l kubeconfig -d 'Read the nodes from the Kubernetes API that a kubeconfig file describes' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l kubernetes-endpoint -d 'The Kubernetes API server\'s own address, or that of a load balancer in front of it, where the Service `kubernetes` has no address before pods have a network: in a cluster without kube-proxy' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l resync -d 'The interval of full comparisons, which include the nodes file and do not depend on events' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l withdraw-share -d 'Hold a list of nodes that would withdraw more than this share of the peers\' routes' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l withdraw-hold -d 'Apply such a list when a later list still says the same after this time' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l no-masquerade-to -d 'A subnet outside the cluster that pods reach without masquerade; may be repeated' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l probe -d 'Probe whether packets of pods pass to each other node: from the first address of this node\'s pod CIDR, over UDP' -r -f -a "on\t'It is done'
off\t'It is not done'"
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l probe-port -d 'The UDP port of the probes, the same on every node' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l probe-rate -d 'Send at most this many probes in a second' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l listen -d 'Serve /healthz, /readyz and /metrics on this address' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l cni-bin-dir -d 'Install the plugins `podlan` and `podlan-ipam` from this program\'s directory into this directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l cni-conf-dir -d 'Write the runtime\'s network configuration into this directory, once this node\'s routes are in the kernel' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l network-name -d 'The name of the network in that configuration' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l chain -d 'A plugin of the runtime to chain after podlan; may be repeated' -r -f -a "portmap\t'hostPort'
bandwidth\t'kubernetes.io/ingress-bandwidth and egress-bandwidth'"
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l chain-if-installed -d 'The same, but only while its binary is in the directory of `--cni-bin-dir`' -r -f -a "portmap\t'hostPort'
bandwidth\t'kubernetes.io/ingress-bandwidth and egress-bandwidth'"
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l mtu -d 'The pods\' MTU in bytes; without it, the MTU of the default route\'s link, else of the links to the other nodes' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l data-dir -d 'Where the leases lie (`ipam.dataDir`)' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l log-level -d 'The log level: error, warn, info, debug or trace' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l log-format -d 'The form of the log\'s lines: text, or one JSON object a line' -r -f -a "text\t'For people'
json\t'`{"timestamp":…,"level":…,"message":…,"target":…}` and the fields of the line'"
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l kubernetes -d 'Read the nodes from the Kubernetes API, as a pod of the cluster'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l by-routers -d 'Reach nodes of other segments through routers, which must have routes to the pod subnets'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l masquerade -d 'Masquerade traffic of pods to addresses outside the cluster with the node\'s address; never traffic to pods or nodes'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l accept-forward -d 'Append rules that accept traffic of this node\'s pods to forward chains of other programs whose policy is drop (such as Docker\'s)'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -l no-keep-forwarding -d 'When another program switches forwarding off while pods run, only warn, and leave it off'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand status" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand status" -l all -d 'Show each node, also in a large cluster'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand status" -l json -d 'Print JSON: the contents of node.json, with `stale`, `peers` (each with what was `found`), and `unwanted` routes'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand status" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand leases" -l data-dir -d 'A directory of leases, in addition to those that the configurations name [default: the agent\'s, else /run/podlan]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand leases" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand leases" -l release -d 'Release the lease of this address, unless the link or the network namespace of its pod lives' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand leases" -l network -d 'The network of that lease, where several have the address' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand leases" -l json -d 'Print JSON'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand leases" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l cni-conf-dir -d 'The runtime\'s directory of network configurations [default: the agent\'s, else /etc/cni/net.d]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l cni-bin-dir -d 'The runtime\'s directory of plugins [default: the agent\'s, else /opt/cni/bin]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l data-dir -d 'A directory of leases, in addition to those that the configurations name [default: the agent\'s, else /run/podlan]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l kernel -d 'Ask only whether the kernel has what podlan needs; nothing need be installed'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l fix -d 'Fix what is safe to fix, show what was done, and check again'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -l json -d 'Print JSON'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand trace" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand trace" -l data-dir -d 'A directory of leases, in addition to those that the configurations name [default: the agent\'s, else /run/podlan]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand trace" -l tcp -d 'Follow a TCP connection to this port of the second pod: rules by port count too' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand trace" -l udp -d 'Follow UDP packets to this port of the second pod: rules by port count too' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand trace" -l json -d 'Print JSON'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand trace" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and not __fish_seen_subcommand_from host-local" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and not __fish_seen_subcommand_from host-local" -f -a "host-local" -d 'From the reference IPAM plugin `host-local`, as used by ptp, bridge or flannel'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l network-name -d 'The name of podlan\'s network; if possible keep the network\'s former name, under which libcni and portmap record its pods' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l cidr -d 'A pod CIDR of this node; may be repeated. Without it, those of the running agent' -r
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l live -d 'A file with the ids of the running containers (`crictl pods -q`), `-` for stdin: leases of other containers are left, unless their network namespace exists' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l results -d 'The directory of libcni\'s records, which name the pods\' namespaces and links' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l data-dir -d 'The directory of podlan\'s leases (`ipam.dataDir`)' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l dry-run -d 'Show what would be done, and change nothing'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -l json -d 'Print JSON'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand adopt; and __fish_seen_subcommand_from host-local" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand report" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand report" -l cni-conf-dir -d 'The runtime\'s directory of network configurations [default: the agent\'s, else /etc/cni/net.d]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand report" -l cni-bin-dir -d 'The runtime\'s directory of plugins [default: the agent\'s, else /opt/cni/bin]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand report" -l data-dir -d 'A directory of leases, in addition to those that the configurations name [default: the agent\'s, else /run/podlan]' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand report" -l output -d 'The archive (.tar.gz), readable by its owner alone; `-` is standard output' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand report" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand release-withdrawal" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand release-withdrawal" -s h -l help -d 'Print help'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand cleanup" -l run-dir -d 'The agent\'s run directory' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand cleanup" -l cni-bin-dir -d 'The directory in which `run` installed the plugins' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand cleanup" -l cni-conf-dir -d 'The directory in which `run` wrote the network configuration' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand cleanup" -l data-dir -d 'Where the leases lie' -r -F
complete -c podlan-node -n "__fish_podlan_node_using_subcommand cleanup" -l stay -d 'After a successful cleanup, keep retrying until SIGTERM; remove the plugins once the last pod is gone'
complete -c podlan-node -n "__fish_podlan_node_using_subcommand cleanup" -s h -l help -d 'Print help'
