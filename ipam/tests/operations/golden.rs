//! Stores that a released podlan wrote, read by today's.

use super::*;
use store::testing::{KILLED, SETTLED, store};

const BOOT: BootId = BootId(0x6f3c_2f4e_0d2b_4c5e);
const SETS: &[&[&str]] = &[&["10.244.1.0/29", "10.244.1.8/30"], &["2001:db8::/125"]];

/// A node on which this store lies, in the boot that wrote it.
fn node(text: &str) -> Node {
    Node { now: Stamp { boot: BOOT, millis: 20_000 }, ..Node::of(Memory::with_store(store(text))) }
}

fn texts(leases: &[Lease]) -> Vec<String> {
    let text = |lease: &Lease| {
        let Lease { address, gateway, owner, proof, reused_early, since } = lease;
        let Proof { host_link, netns, netns_id, pod } = proof;
        let Attachment { container_id, ifname } = owner;
        let gateway = gateway.map_or("-".to_owned(), |gateway| gateway.to_string());
        let early = if *reused_early { " early" } else { "" };
        let link = host_link.as_deref().unwrap_or("-");
        let pod = pod.as_deref().unwrap_or("-");
        assert_eq!(since.boot, BOOT);
        format!(
            "{address} via {gateway}: {container_id} {ifname}, {} {netns_id:?}, {link}, {pod}, {}{early}",
            netns.display(),
            since.millis
        )
    };
    leases.iter().map(text).collect()
}

const WEB: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const LEASES: &[&str] = &[
    "10.244.1.2/29 via 10.244.1.1: WEB eth0, /run/netns/cni-1 % Some((4, 4026539077)), podlvp7x7j62ghk, default/web-0, 1000",
    "10.244.1.4/29 via 10.244.1.1: b net_1, /run/netns/cni-2 None, -, -, 2000",
    "10.244.1.6/29 via 10.244.1.1: f eth0, /run/netns/cni-1 % Some((4, 4026539077)), podlvp7x7j62ghk, default/web-0, 17000 early",
    "10.244.1.10/30 via 10.244.1.9: e eth0, /run/netns/cni-2 None, -, -, 6000",
    "2001:db8::2/125 via 2001:db8::1: WEB eth0, /run/netns/cni-1 % Some((4, 4026539077)), podlvp7x7j62ghk, default/web-0, 1000",
    "2001:db8::4/125 via 2001:db8::1: b net_1, /run/netns/cni-2 None, -, -, 2000",
    "2001:db8::7/125 via 2001:db8::1: e eth0, /run/netns/cni-2 None, -, -, 6000",
];
/// The one whose commit was not put in its place any more.
const LAST: &str = "2001:db8::6/125 via 2001:db8::1: g eth0, /run/netns/cni-2 None, -, -, 17000 early";

fn expected(last: Option<&str>) -> Vec<String> {
    let mut leases: Vec<_> = LEASES.iter().map(|lease| lease.replace("WEB", WEB)).collect();
    // Before 2001:db8::7.
    last.into_iter().for_each(|last| leases.insert(6, last.to_owned()));
    leases
}

fn owner_of(id: &str, ifname: &str) -> Attachment {
    Attachment { container_id: ContainerId::parse(id).unwrap(), ifname: Ifname::parse(ifname).unwrap() }
}

/// A node is upgraded under living pods: what was written is read as it was meant.
#[test]
fn a_store_of_a_released_version_is_read_to_the_letter() {
    let settled = node(SETTLED).audit();
    assert_eq!(texts(&settled.leases), expected(None));
    let released = ["10.244.1.3", "10.244.1.5", "2001:db8::6", "2001:db8::3", "2001:db8::5"];
    assert_eq!(settled.released, released.map(ip));
    let killed = node(KILLED).audit();
    assert_eq!(texts(&killed.leases), expected(Some(LAST)));
    assert_eq!(killed.released, ["10.244.1.3", "10.244.1.5", "2001:db8::3", "2001:db8::5"].map(ip));
}

/// Indexes, queues and cursors are where they were: owners are found, the next address is the next address.
#[test]
fn a_store_of_a_released_version_is_gone_on_with() {
    for (text, next, third) in [
        (SETTLED, "10.244.1.3 2001:db8::6", "10.244.1.5 2001:db8::3"),
        (KILLED, "10.244.1.3 2001:db8::3", "10.244.1.5 2001:db8::5"),
    ] {
        let node = node(text);
        for (id, ifname, count) in
            [(WEB, "eth0", 2), ("b", "net_1", 2), ("e", "eth0", 2), ("f", "eth0", 1), ("b", "eth0", 0)]
        {
            assert_eq!(node.owned(&owner_of(id, ifname)).unwrap().len(), count, "{id} {ifname}");
        }
        assert!(matches!(node.add(&want(SETS), &owner_of("e", "eth0")), Err(Error::Duplicate { .. })));
        assert_eq!((node.address(&want(SETS), 1), node.address(&want(SETS), 2)), (next.to_owned(), third.to_owned()));
        assert_eq!(node.del(&owner_of(WEB, "eth0")).unwrap().len(), 2);
        assert_eq!(node.audit().leases.len(), if text == KILLED { 10 } else { 9 });
    }
}

/// Of another boot: what is provably gone is void, what is not stays.
#[test]
fn a_store_of_a_released_version_survives_a_reboot() {
    for (text, next) in [(SETTLED, "10.244.1.3 2001:db8::6"), (KILLED, "10.244.1.3 2001:db8::3")] {
        let mut node = node(text);
        node.reboot();
        node.fate.spaces.borrow_mut().insert("/run/netns/cni-2".to_owned(), Presence::Gone);
        assert_eq!(node.address(&want(SETS), 1), next);
        let left: Vec<_> = node.audit().leases.iter().map(|lease| lease.owner.container_id.to_string()).collect();
        assert_eq!(left, [WEB, "c1", "f", WEB, "c1"].map(str::to_owned));
    }
}
