//! What a node has by router advertisements survives the first pod with IPv6, or ADD fails and names the fix.

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};

use super::advertisement::{Advertisement, Router};
use super::rig::{SOON, V6, set};

/// The lifetime of what is advertised, where it ends at all: one lost advertisement must not end it.
const VALID: u32 = 6;

/// Lets a node accept advertisements, and waits until `ip -6 addr` or `ip -6 route` shows what it has by them.
fn learns(node: &Node, shown: &str) -> Result<(), Error> {
    for (setting, value) in [("accept_ra", "1"), ("accept_ra_rt_info_max_plen", "64")] {
        set(node, &format!("/proc/sys/net/ipv6/conf/eth0/{setting}"), value)?;
    }
    eventually(SOON, &format!("the node has {shown:?}"), || match has(node, shown) {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

fn has(node: &Node, shown: &str) -> Result<bool, Error> {
    let addresses = node.command("ip").args(["-6", "addr", "show", "dev", "eth0"]).succeeds()?;
    let routes = node.command("ip").args(["-6", "route", "show", "table", "all"]).succeeds()?;
    Ok((addresses + &routes).contains(shown))
}

/// The node has it still, and accepts advertisements, which renew it: it takes over the hop limit of a later one.
fn keeps(node: &Node, router: &Router, shown: &str) -> Result<(), Error> {
    let hop_limit = router.change_hop_limit().to_string();
    eventually(SOON, "the node accepts an advertisement", || {
        match node.sysctl("/proc/sys/net/ipv6/conf/eth0/hop_limit") {
            Ok(now) if now == hop_limit => Ok(()),
            other => Err(format!("{other:?} instead of {hop_limit}")),
        }
    })?;
    assert!(has(node, shown)?, "{} has lost {shown:?}", node.name());
    Ok(())
}

/// ADD of a pod with IPv6 fails as long as the node would lose it, and no longer; an ADD with IPv4 only always succeeds.
fn survives(advertisement: Advertisement, shown: &str, named: &str) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [node, router] = lab.these();
    let sends = Router::start(router, advertisement);
    learns(node, shown)?;
    let (web, db) = (node.pod("web")?, node.pod("db")?);
    let mut v4 = node.podnet();
    v4["ipam"]["ranges"] = serde_json::json!([[{ "subnet": node.pod_cidrs()[0].to_string() }]]);
    db.add(&v4)?;

    let refused = web.cni("ADD", "eth0", &node.podnet())?.fails()?.stdout;
    for part in ["104", named, " of eth0 ", "net.ipv6.conf.eth0.accept_ra=2"] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
    assert_eq!(node.sysctl(V6)?, "0");
    keeps(node, &sends, shown)?;

    set(node, "/proc/sys/net/ipv6/conf/eth0/accept_ra", "2")?;
    web.add(&node.podnet())?;
    assert_eq!(node.sysctl(V6)?, "1");
    keeps(node, &sends, shown)?;
    sends.stop()
}

#[test]
fn an_advertised_address_survives_with_no_default_route_or_a_static_one() {
    within(|| {
        let prefix = Some((VALID, true));
        survives(Advertisement { prefix, ..Advertisement::default() }, "inet6 fd44:", "the address fd44:")
    });
}

#[test]
fn a_default_route_survives() {
    within(|| {
        let advertisement = Advertisement { router: 30, prefix: Some((VALID, true)), ..Advertisement::default() };
        survives(advertisement, "proto ra metric 1024", "the IPv6 default route")
    });
}

#[test]
fn the_route_of_a_prefix_without_addresses_survives() {
    within(|| {
        let prefix = Some((VALID, false));
        survives(Advertisement { prefix, ..Advertisement::default() }, "fd44::/64 dev eth0", "the route to fd44::/64")
    });
}

#[test]
fn a_more_specific_route_survives() {
    within(|| {
        let advertisement = Advertisement { route: Some(VALID), ..Advertisement::default() };
        survives(advertisement, "2001:db8:44::/48 via fe80::", "the route to 2001:db8:44::/48")
    });
}

#[test]
fn addresses_and_routes_that_need_no_advertisements_block_no_add() {
    within(|| {
        let lab = Lab::new(2)?;
        let [node, router] = lab.these();
        let advertisement = Advertisement { prefix: Some((u32::MAX, true)), ..Advertisement::default() };
        let _sends = Router::start(router, advertisement);
        learns(node, "inet6 fd44:")?;
        // As a DHCPv6 client sets it, which renews it itself.
        let leased = ["-6", "addr", "add", "fd45::7/128", "dev", "eth0", "valid_lft", "60", "preferred_lft", "60"];
        node.command("ip").args(leased).args(["noprefixroute", "nodad"]).succeeds()?;
        node.pod("web")?.add(&node.podnet())?;
        assert_eq!(node.sysctl(V6)?, "1");
        for shown in ["inet6 fd44:", "inet6 fd45::7/128"] {
            assert!(has(node, shown)?, "{} has lost {shown:?}", node.name());
        }
        Ok(())
    });
}

#[test]
fn an_agent_leaves_ipv6_off_where_the_node_would_lose_its_address_and_names_the_setting_to_change() {
    within(|| {
        let lab = Lab::new(2)?;
        let [node, router] = lab.these();
        node.pod("web")?.add(&node.podnet())?;
        // Another program makes it a host again, which accepts advertisements, while no agent runs.
        set(node, V6, "0")?;
        let sends = Router::start(router, Advertisement { prefix: Some((VALID, true)), ..Advertisement::default() });
        learns(node, "inet6 fd44:")?;
        let agent = node.agent(&[])?;
        eventually(SOON, "the agent reports why it is off", || {
            let said = agent.stderr();
            let fix = "sysctl -w net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.all.forwarding=1";
            let named = said.contains("would lose the address fd44:") && said.contains(fix);
            if named { Ok(()) } else { Err(said) }
        })?;
        keeps(node, &sends, "inet6 fd44:")?;
        assert_eq!(node.sysctl(V6)?, "0");
        set(node, "/proc/sys/net/ipv6/conf/eth0/accept_ra", "2")?;
        eventually(SOON, "it is on", || match node.sysctl(V6) {
            Ok(value) if value == "1" => Ok(()),
            other => Err(format!("{other:?}\n{}", agent.stderr())),
        })?;
        keeps(node, &sends, "inet6 fd44:")
    });
}
