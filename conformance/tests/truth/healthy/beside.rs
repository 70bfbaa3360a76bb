//! The rows: what runs beside podlan on many nodes.

use super::{Healthy, Made};
use crate::stage::{Conflist, Options};

macro_rules! healthy {
    ($($name:ident: $row:expr;)*) => {
        pub(crate) fn all() -> Vec<(&'static str, Healthy)> {
            vec![$((stringify!($name), $row)),*]
        }

        $(
            #[test]
            fn $name() {
                podlan_conformance::lab::within(|| super::prove(&$row));
            }
        )*
    };
}

const PLAIN: Healthy = Healthy { beside: "", made: Made::Recorded, options: Options::PLAIN, node: "", peer: "" };

/// What host-local and ptp leave of a pod, and its adoption.
const ADOPTED: &str = "touch /run/netns/old; unshare --net=/run/netns/old true
ip link add veth0 type veth peer name eth0 netns /run/netns/old
ip addr add 10.244.1.1/32 dev veth0
ip link set veth0 up
ip route add 10.244.1.77/32 dev veth0 scope host
nsenter --net=/run/netns/old sh -ec 'ip link set lo up; ip addr add 10.244.1.77/24 dev eth0; ip link set eth0 up; ip route del 10.244.1.0/24; ip route add 10.244.1.1 dev eth0 scope link; ip route add default via 10.244.1.1'
mkdir -p /var/lib/cni/networks/podnet /var/lib/cni/results
printf 'old\\r\\neth0' > /var/lib/cni/networks/podnet/10.244.1.77
echo '{\"kind\":\"cniCacheV1\",\"containerId\":\"old\",\"ifName\":\"eth0\",\"networkName\":\"podnet\",\"result\":{\"interfaces\":[{\"name\":\"veth0\"},{\"name\":\"eth0\",\"sandbox\":\"/run/netns/old\"}]}}' > /var/lib/cni/results/podnet-old-eth0
$PLUGINS/podlan-node adopt host-local /var/lib/cni/networks/podnet --cidr 10.244.1.0/24 | grep '1 adopted'";

const DENY: &str = "nft -f $RULES/default-deny.nft";

healthy! {
    adopted_pods: Healthy {
        beside: "a pod of ptp and host-local, adopted by `podlan-node adopt host-local`",
        made: Made::Recorded,
        node: ADOPTED,
        ..PLAIN
    };
    bird: Healthy {
        beside: "BIRD's routes to another segment and to the nodes of this one, as docs/routers.md has them",
        node: "ip route add 10.244.9.0/24 via 172.31.0.2 proto bird metric 200\nip route add 10.244.2.0/24 via 172.31.0.2 proto bird metric 200",
        ..PLAIN
    };
    frr: Healthy {
        beside: "FRR's routes to another segment",
        node: "ip route add 10.244.9.0/24 via 172.31.0.2 proto bgp metric 200\nip route add 10.244.2.0/24 via 172.31.0.2 proto bgp metric 200",
        ..PLAIN
    };
    multus_thick: Healthy {
        beside: "Multus in front, the thick plugin",
        node: r#"echo '{"cniVersion":"0.3.1","name":"multus-cni-network","type":"multus-shim","clusterNetwork":"/host/etc/cni/net.d/10-podlan.conflist"}' > /run/net.d/00-multus.conf"#,
        ..PLAIN
    };
    multus_thin: Healthy {
        beside: "Multus in front, the thin plugin",
        node: r#"echo "{\"cniVersion\":\"0.3.1\",\"name\":\"multus-cni-network\",\"type\":\"multus\",\"kubeconfig\":\"/etc/cni/net.d/multus.d/multus.kubeconfig\",\"delegates\":[$(tr -d '\n' < /run/net.d/10-podlan.conflist)]}" > /run/net.d/00-multus.conf"#,
        ..PLAIN
    };
    ufw: Healthy {
        beside: "ufw: input denied, forwarding allowed",
        node: "iptables-nft-restore $RULES/ufw.v4\nip6tables-nft-restore $RULES/ufw.v6",
        ..PLAIN
    };
    firewalld: Healthy {
        beside: "firewalld with the pod CIDRs in its trusted zone",
        node: "nft -f $RULES/firewalld.nft",
        ..PLAIN
    };
    docker: Healthy {
        beside: "Docker, whose forward policy is drop, with pods accepted in DOCKER-USER",
        node: "iptables-nft-restore $RULES/docker.v4",
        ..PLAIN
    };
    docker_accepted_by_the_agent: Healthy {
        beside: "Docker, and the agent with --accept-forward",
        options: Options { agent: &["--accept-forward"], ..Options::PLAIN },
        // The agent's rules follow Docker's in a moment.
        node: "grep -v 'DOCKER-USER.*10.244' $RULES/docker.v4 | iptables-nft-restore\n\
               timeout 10 sh -c 'until nft list ruleset | grep -q \"podlan: forward\"; do sleep 0.1; done'",
        ..PLAIN
    };
    kube_proxy_iptables: Healthy {
        beside: "kube-proxy, mode iptables",
        node: "iptables-nft-restore $RULES/kube-proxy.v4",
        ..PLAIN
    };
    kube_proxy_nftables: Healthy {
        beside: "kube-proxy, mode nftables",
        node: "nft -f $RULES/kube-proxy.nft",
        ..PLAIN
    };
    kube_proxy_ipvs: Healthy {
        beside: "kube-proxy, mode ipvs (its links and rules; without the sets and virtual servers)",
        node: "ip link add kube-ipvs0 type bridge\nip addr add 10.96.0.1/32 dev kube-ipvs0\nip addr add 10.96.0.10/32 dev kube-ipvs0\niptables-nft-restore $RULES/kube-proxy-ipvs.v4",
        ..PLAIN
    };
    calico_policy_only: Healthy {
        beside: "Calico for policies only, with the interface prefix podl",
        node: "sed \"s/@WEB@/$LINK/g; s/@SIDE@/$SIDE_LINK/g\" $RULES/calico.v4 | iptables-nft-restore",
        ..PLAIN
    };
    node_local_dns: Healthy {
        beside: "NodeLocalDNS",
        node: "ip link add nodelocaldns type bridge\nip addr add 169.254.20.10/32 dev nodelocaldns\nip addr add 10.96.0.10/32 dev nodelocaldns\niptables-nft-restore $RULES/nodelocaldns.v4",
        ..PLAIN
    };
    rules_that_go_the_same_way: Healthy {
        beside: "`ip rule`s of both families whose table leads where podlan's routes lead (several uplinks)",
        made: Made::Real,
        node: "ip route add 10.244.2.0/24 via 172.31.0.2 dev eth0 table 100
ip -6 route add fd00:10:244:2::/64 via fd31::2 dev eth0 table 100
ip rule add to 10.244.2.0/24 lookup 100 pref 60
ip -6 rule add to fd00:10:244:2::/64 lookup 100 pref 60",
        ..PLAIN
    };
    tailscale: Healthy {
        beside: "tailscale, with its rules, its table 52 and its firewall",
        node: "ip link add tailscale0 mtu 1280 type bridge
ip link set tailscale0 up
ip addr add 100.101.102.103/32 dev tailscale0
ip route add 100.100.100.100 dev tailscale0 table 52
ip route add 100.64.7.8 dev tailscale0 table 52
ip rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
ip rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
ip rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
ip rule add pref 5270 lookup 52
iptables-nft-restore $RULES/tailscale.v4",
        ..PLAIN
    };
    networkd: Healthy {
        beside: "systemd-networkd, which configures the uplink",
        made: Made::Real,
        node: "sh $RULES/networkd.sh",
        ..PLAIN
    };
    networkd_of_every_link: Healthy {
        beside: "systemd-networkd, whose configuration matches every link, pods' too",
        made: Made::Real,
        node: "EVERY=yes sh $RULES/networkd.sh",
        ..PLAIN
    };
    network_manager: Healthy {
        beside: "NetworkManager, which configures the uplink",
        made: Made::Real,
        node: "sh $RULES/network-manager.sh",
        ..PLAIN
    };
    default_deny: Healthy {
        beside: "an input firewall that denies by default, on this node",
        made: Made::Real,
        node: DENY,
        ..PLAIN
    };
    default_deny_on_the_peer: Healthy {
        beside: "the same, on the peer",
        made: Made::Real,
        peer: DENY,
        ..PLAIN
    };
    default_deny_on_both: Healthy {
        beside: "the same, on both",
        made: Made::Real,
        node: DENY,
        peer: DENY,
        ..PLAIN
    };
    gateway_is_not_the_first_address: Healthy {
        beside: "a network whose `gateway` is not the first address of its range",
        made: Made::Real,
        options: Options { conflist: Conflist::Gateway, ..Options::PLAIN },
        ..PLAIN
    };
}
