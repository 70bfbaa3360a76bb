//! IPv6 switched off at each level, or with settings that cannot be written: IPv4 pods are not affected, a dual-stack
//! ADD works or fails with an error that names the cause and leaves nothing, and a DEL releases.
//!
//! ```text
//!   node1, and one more for each level
//!     ├── web   eth0 is added where IPv6 is off
//!     ├── late  as well, to be reached
//!     └── db    lives all the while
//! ```

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use podlan_conformance::lab::{Error, Lab, Node, Place, Pod, within};
use serde_json::{Value, json};

const NET: &str = "/proc/sys/net";

/// Off for each existing link, or only for later ones.
const OFF: [&str; 2] = ["default", "all"];

/// A level at which IPv6 is off, and how to switch it off for a pod and its node.
struct Level {
    what: &'static str,
    /// Switches it off; the pod has no link yet.
    off: fn(&Pod<'_>) -> Result<(), Error>,
    /// The error text of a dual-stack ADD; none where it works.
    refused: Option<&'static str>,
}

const LEVELS: [Level; 6] = [
    Level { what: "IPv6 off for the pod's new links", off: |pod| switch_off(pod.place(), &OFF[..1]), refused: None },
    Level { what: "IPv6 off in the pod", off: |pod| switch_off(pod.place(), &OFF), refused: None },
    Level {
        what: "IPv6 off for the node's new links",
        off: |pod| switch_off(pod.node().place(), &OFF[..1]),
        refused: None,
    },
    Level { what: "IPv6 off on the node", off: |pod| switch_off(pod.node().place(), &OFF), refused: None },
    Level {
        what: "no IPv6 in the kernel",
        off: |pod| hide_ipv6(pod.node()),
        refused: Some("the kernel has no IPv6 (is it booted with ipv6.disable=1?)"),
    },
    Level {
        what: "read-only sysctls",
        off: |pod| make_read_only(pod.node()),
        refused: Some("/proc/sys/net/ipv6/conf/all/forwarding: Read-only file system"),
    },
];

fn switch_off(place: &Place, of: &[&str]) -> Result<(), Error> {
    let write = |which: &&str| std::fs::write(format!("{NET}/ipv6/conf/{which}/disable_ipv6"), "1");
    let written = place.enter(|| of.iter().try_for_each(write))?;
    written.map_err(|source| Error::System { doing: format!("switch IPv6 off in {}", place.name()), source })
}

/// Hides IPv6 below /proc/sys from the node's programs, as where the kernel was booted with ipv6.disable=1. That
/// concerns files only: netlink still has it.
fn hide_ipv6(node: &Node) -> Result<(), Error> {
    let hidden = node.place().enter(|| {
        let (nothing, aside): (Option<&str>, _) = (None, "/run/ipv4");
        std::fs::create_dir_all(aside)?;
        mount(Some(format!("{NET}/ipv4").as_str()), aside, nothing, MsFlags::MS_BIND, nothing)?;
        mount(Some("tmpfs"), NET, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))?;
        std::fs::create_dir(format!("{NET}/ipv4"))?;
        mount(Some(aside), format!("{NET}/ipv4").as_str(), nothing, MsFlags::MS_BIND, nothing)?;
        Ok(umount2(aside, MntFlags::MNT_DETACH)?)
    })?;
    hidden.map_err(|source| Error::System { doing: "hide IPv6".into(), source })
}

/// On a node whose IPv4 pods need nothing written: it forwards IPv4 already, and its new links ignore router
/// advertisements.
fn make_read_only(node: &Node) -> Result<(), Error> {
    let made = node.place().enter(|| {
        let (nothing, at): (Option<&str>, _) = (None, "/proc/sys");
        std::fs::write(format!("{NET}/ipv4/ip_forward"), "1")?;
        for setting in ["all/forwarding", "default/accept_ra"] {
            std::fs::write(format!("{NET}/ipv6/conf/{setting}"), "0")?;
        }
        mount(Some(at), at, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)?;
        let harmless = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        Ok(mount(
            nothing,
            at,
            nothing,
            MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | harmless,
            nothing,
        )?)
    })?;
    made.map_err(|source| Error::System { doing: "make /proc/sys read-only".into(), source })
}

/// Networks of a node, each with room for one pod: IPv4 only, both families, and both for the other pods.
struct Networks {
    v4: Value,
    both: Value,
    beside: Value,
    late: Value,
}

impl Networks {
    fn of(node: &Node) -> Self {
        let [v4, v6] = node.pod_cidrs().map(|cidr| cidr.ip().to_string());
        let v4 = v4.trim_end_matches('0');
        let network = |name: &str, subnets: &[String]| {
            let mut config = node.podnet();
            config["name"] = json!(name);
            config["ipam"]["ranges"] = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
            config
        };
        Self {
            v4: network("v4", &[format!("{v4}0/30")]),
            both: network("both", &[format!("{v4}4/30"), format!("{v6}4/126")]),
            beside: network("beside", &[format!("{v4}8/30"), format!("{v6}8/126")]),
            late: network("late", &[format!("{v4}12/30"), format!("{v6}c/126")]),
        }
    }
}

fn is_coped_with(level: &Level, node: &Node) -> Result<(), Error> {
    let (web, db, networks) = (node.pod("web")?, node.pod("db")?, Networks::of(node));
    let at_db = db.add(&networks.beside)?;
    web.place().switch("lo", true)?;
    (level.off)(&web)?;
    let (before, pod_before) = (node.network()?, web.network()?);
    let is_as_before = |when: &str| -> Result<(), Error> {
        let left = node.network()?.since(&before) + &web.network()?.since(&pod_before);
        assert_eq!(left, "", "{}, {when}", level.what);
        Ok(())
    };
    let _server = db.serve()?;
    let at_web = web.add(&networks.v4)?;
    web.reaches(&at_web, &[at_db.v4()?])?;
    web.check(&networks.v4, &at_web)?;
    web.del(&networks.v4)?;
    web.del(&networks.v4)?;
    is_as_before("after DEL of a pod with IPv4")?;

    match level.refused {
        Some(named) => {
            let refused = web.cni("ADD", "eth0", &networks.both)?.run()?.complaint()?;
            assert!(refused.text.contains(named), "{}: {refused:?}", level.what);
            is_as_before("after a refused ADD")?;
        }
        None => {
            let at_web = web.add(&networks.both)?;
            web.check(&networks.both, &at_web)?;
            let late = node.pod("late")?;
            let at_late = late.add(&networks.late)?;
            let _server = late.serve()?;
            web.reaches(&at_web, &at_late.ips())?;
            late.del(&networks.late)?;
        }
    }
    web.del(&networks.both)?;
    web.del(&networks.both)?;
    is_as_before("after DEL")?;
    // The address is free again, in each network.
    let mut again = networks.both;
    again["ipam"]["ranges"] = json!([again["ipam"]["ranges"][0]]);
    node.pod("next")?.add(&again)?;
    node.pod("last")?.add(&networks.v4).map(drop)
}

/// Runs the test for each level, on a node of its own.
fn at_each_level(test: impl Fn(&Level, &Node) -> Result<(), Error>) -> Result<(), Error> {
    let lab = Lab::new(6)?;
    let nodes: [&Node; 6] = lab.these();
    LEVELS.iter().zip(nodes).try_for_each(|(level, node)| test(level, node))
}

#[test]
fn pods_are_added_and_deleted_where_ipv6_is_off_at_any_level() {
    within(|| at_each_level(is_coped_with));
}

/// DEL removes a pod's IPv6 state, also when IPv6 was switched off after ADD.
#[test]
fn a_pod_whose_ipv6_was_switched_off_is_deleted_completely() {
    within(|| {
        at_each_level(|level, node| {
            let (web, networks, before) = (node.pod("web")?, Networks::of(node), node.network()?);
            web.add(&networks.both)?;
            (level.off)(&web)?;
            web.del(&networks.both)?;
            web.del(&networks.both)?;
            let changed = node.network()?.since(&before);
            // What the node itself lost when IPv6 was switched off is gone.
            let left: Vec<_> = changed.lines().filter(|line| line.starts_with('+')).collect();
            assert!(left.is_empty(), "{}: {left:?}", level.what);
            node.pod("next")?.add(&networks.v4).map(drop)
        })
    });
}
