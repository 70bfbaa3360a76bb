//! Objects left by an earlier ADD are replaced by the next ADD of the same attachment, and by no other.
//!
//! ```text
//!   node1
//!     ├── web  in its first network namespace
//!     └── web  in its second one: the runtime made another sandbox
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::path::Path;

use netlink::{Link, Selector, Socket};
use podlan_conformance::lab::{Error, Lab, Node, within};

/// Makes a link named `name` in the node's namespace that is not podlan's, with its far end in `netns`.
fn foreign_link(node: &Node, name: &str, netns: &Path) -> Result<(), Error> {
    node.place().enter(|| {
        let netns = std::fs::File::open(netns).unwrap();
        let pair = netlink::NewVeth {
            name,
            mac: [2, 0, 0, 0, 0, 9],
            group: 0,
            peer_name: "other0",
            peer_mac: [2, 0, 0, 0, 0, 8],
            peer_netns: std::os::fd::AsFd::as_fd(&netns),
            mtu: 1500,
        };
        assert_eq!(Socket::open().unwrap().request(&mut [pair.add()]).unwrap(), [Ok(())]);
    })
}

#[test]
fn a_host_end_without_a_lease_is_replaced_by_the_next_add_of_its_attachment() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let (first, second) = (node.pod("web")?, node.pod("web-again")?);
        first.add(&config)?;
        node.command("rm").args(["-r", "/run/podlan"]).succeeds()?;
        let again = first.cni("ADD", "eth0", &config)?.env("CNI_NETNS", second.netns()).succeeds()?;
        assert!(again.contains("10.244.1."), "{again}");
        assert_eq!(first.network()?.lines(&["link"]).len(), 1, "the stale pair is gone at both ends");
        first.del(&config)
    });
}

#[test]
fn a_foreign_link_of_that_name_stays_and_is_named() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let web = node.pod("web")?;
        let name = web.add(&config)?.result["interfaces"][0]["name"].as_str().unwrap_or_default().to_owned();
        web.del(&config)?;
        foreign_link(node, &name, web.netns())?;
        let refused = web.cni("ADD", "eth0", &config)?.fails()?.complaint()?;
        assert!(refused.code == 104 && refused.text.contains(&name), "{refused:?}");
        web.del(&config)?;
        let stays = node.place().enter(|| Socket::open().unwrap().get(Link::get(Selector::Name(&name))).unwrap())?;
        assert!(stays.is_ok(), "DEL must not remove a foreign link either");
        Ok(())
    });
}

#[test]
fn a_foreign_route_to_the_address_stays_and_is_named() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let route = netlink::Route {
            kind: netlink::RouteKind::Unreachable,
            ..netlink::Route::to("10.244.1.2/32".parse().unwrap(), 4)
        };
        node.place().enter(|| Socket::open().unwrap().request(&mut [route.add()]).unwrap())?;
        let web = node.pod("web")?;
        let refused = web.cni("ADD", "eth0", &config)?.fails()?.complaint()?;
        assert!(refused.code == 104 && refused.text.contains("10.244.1.2"), "{refused:?}");
        let removed = node.place().enter(|| Socket::open().unwrap().request(&mut [route.remove()]).unwrap())?;
        assert_eq!(removed, [Ok(())], "the foreign route was left alone");
        web.add(&config).map(drop)
    });
}
