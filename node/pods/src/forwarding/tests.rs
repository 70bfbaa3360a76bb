use netlink::Learned;

use super::*;

fn links(names: &[&str]) -> Vec<(u32, String)> {
    (7..).zip(names.iter().map(|name| (*name).to_owned())).collect()
}

fn seen(pods: bool, all: Option<bool>, off: &[&str]) -> Observed {
    Observed { pods, all, off: links(off), losses: Vec::new() }
}

fn loss(link: &str) -> Loss {
    Loss { link: link.into(), learned: Learned::Address("fd31::7/64".parse().unwrap()) }
}

#[test]
fn ipv4_is_on_when_every_link_that_carries_pods_forwards_and_ipv6_when_the_node_does() {
    let (on, off) = (Some(true), Some(false));
    let node = |names: &[&str]| ForwardingState::Off(Off::NodeV4(links(names)));
    let by_link = |names: &[&str]| ForwardingState::Off(Off::LinksV4(links(names)));
    for (family, seen, expected) in [
        (Family::V4, seen(true, on, &[]), ForwardingState::On),
        (Family::V4, seen(true, on, &["eth0"]), by_link(&["eth0"])),
        (Family::V4, seen(true, off, &["eth0", "podl1"]), node(&["eth0", "podl1"])),
        // Switched on link by link where /proc/sys is read-only.
        (Family::V4, seen(true, off, &[]), ForwardingState::On),
        (Family::V4, seen(false, off, &["eth0"]), ForwardingState::Moot),
        (Family::V4, seen(true, None, &[]), ForwardingState::On),
        (Family::V6, seen(true, on, &[]), ForwardingState::On),
        (Family::V6, seen(true, off, &[]), ForwardingState::Off(Off::V6(Vec::new()))),
        (Family::V6, seen(false, off, &[]), ForwardingState::Moot),
        (Family::V6, seen(true, None, &[]), ForwardingState::Moot),
    ] {
        assert_eq!(judge(family, seen.clone()), expected, "{family} {seen:?}");
    }
}

#[test]
fn what_is_off_is_switched_on_unless_the_node_would_lose_something() {
    assert_eq!(Off::NodeV4(links(&["eth0"])).change(), Ok(Change::NodeV4(vec![7])));
    assert_eq!(Off::LinksV4(links(&["eth0", "podl1"])).change(), Ok(Change::LinksV4(vec![7, 8])));
    assert_eq!(Off::V6(Vec::new()).change(), Ok(Change::NodeV6));
    assert_eq!(Off::V6(vec![loss("eth0")]).change(), Err(&loss("eth0")));
}

#[test]
fn the_words_name_the_settings_and_the_cure_is_a_command() {
    let off = Off::LinksV4(links(&["eth0.100"]));
    assert_eq!(off.to_string(), "IPv4 forwarding is off (net/ipv4/conf/eth0.100/forwarding = 0)");
    assert_eq!(off.cure(), "sysctl -w net/ipv4/conf/eth0.100/forwarding=1");
    let five = Off::LinksV4(links(&["a", "b", "c", "d", "e"])).to_string();
    assert!(five.ends_with("net.ipv4.conf.c.forwarding = 0, and 2 more)"), "{five}");
    assert_eq!(
        Off::V6(vec![loss("eth0"), loss("eth1")]).cure(),
        "sysctl -w net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.eth1.accept_ra=2 net.ipv6.conf.all.forwarding=1"
    );
}
