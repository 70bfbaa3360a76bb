//! Route protocol numbers: how iproute2 names them (rt_protos), and who is known to use them.

/// The name, or the number where it has none.
pub fn name(number: u8) -> String {
    let name = match number {
        0 => "unspec",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        18 => "keepalived",
        42 => "babel",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        netlink::NODE_ROUTE => "podlan-node",
        netlink::PROBE_ROUTE => "podlan-probe",
        netlink::POD_ROUTE => "podlan-pod",
        _ => return number.to_string(),
    };
    name.to_owned()
}

/// Who probably made a route of this number.
pub fn maker(number: u8) -> &'static str {
    match number {
        2 => "an address on one of this node's links, such as a bridge of another CNI plugin (cni0, docker0)",
        3 => "a person with `ip route`, flannel, kindnet or another CNI plugin",
        4 => "a person, or the network configuration of the system",
        11 | 186..=189 => "FRR",
        12 => "BIRD",
        16 => "a DHCP client",
        17 => "kube-router",
        80 => "Calico",
        _ => "a program that podlan does not know",
    }
}
