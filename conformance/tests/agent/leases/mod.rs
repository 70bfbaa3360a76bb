//! The agent releases the leases of pods that ended without a DEL, and no others.
//!
//! ```text
//!   node1 (agent)
//!     ├── db            lives all the while
//!     ├── web, api, …   end without a DEL, or are just being added
//!     └── /run/netns    seen by the agent, or not
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

mod looks;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use podlan_conformance::agent;
use podlan_conformance::lab::{
    Added, Command, Error, Lab, Node, Pod, Running, binaries, eventually, has_strace, within,
};
use serde_json::{Value, json};

use looks::Looks;

const SOON: Duration = Duration::from_secs(20);
/// An agent that sweeps on events only.
const BY_EVENTS: [&str; 2] = ["--resync", "1h"];
/// An agent that sweeps all the time.
const ALL_THE_TIME: [&str; 2] = ["--resync", "20ms"];

/// The leased addresses of the node, of every network.
fn leased(node: &Node) -> BTreeSet<IpAddr> {
    let places = ipam::places(&node.path(ipam::DEFAULT_DATA_DIR)).unwrap();
    places.iter().flat_map(|place| ipam::leases(place).unwrap()).map(|lease| lease.address.ip()).collect()
}

fn of(pods: &[&Added]) -> BTreeSet<IpAddr> {
    pods.iter().flat_map(|added| added.ips()).collect()
}

fn becomes(node: &Node, agent: &Running, pods: &[&Added]) -> Result<(), Error> {
    let wanted = of(pods);
    eventually(SOON, &format!("{wanted:?} are leased and nothing else"), || match leased(node) {
        seen if seen == wanted => Ok(()),
        seen => Err(format!("{seen:?}\n{}", agent.stderr())),
    })
}

fn is_ready(node: &Node, agent: &Running) -> Result<(), Error> {
    eventually(SOON, "the agent is ready", || agent::is_ready(node, agent.id()))
}

/// Waits until an agent that sweeps all the time has swept a few more times.
fn it_sweeps(node: &Node) -> Result<(), Error> {
    Looks::of(node).pass()
}

/// An agent in a mount namespace of its own, in which `first` was run.
fn apart(node: &Node, first: &str, arguments: &[&str]) -> Result<Running, Error> {
    let program = binaries::find("podlan-node")?;
    let line = format!("{first} && exec \"$@\"");
    let words = ["--mount", "--propagation", "private", "sh", "-c", &line, "sh"];
    let agent = node.command(program).args(["run", "--node-name", node.name(), "--nodes", Lab::NODES_FILE]);
    agent.args(arguments).under("unshare", words).spawn()
}

/// An ADD that is paused for two seconds between its lease and its link.
fn paused(pod: &Pod<'_>, config: &Value) -> Result<Command, Error> {
    let words = ["-f", "-qq", "-o", "/run/trace", "--trace=sendto", "--inject=sendto:delay_enter=2000000:when=1"];
    Ok(pod.cni("ADD", "eth0", config)?.under("strace", words))
}

/// Starts an ADD, waits for its lease, and runs `meanwhile`; the ADD succeeds and its addresses stay leased.
fn an_add_under_way_keeps_its_lease(
    node: &Node,
    pod: &Pod<'_>,
    others: &[&Added],
    meanwhile: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let config = node.podnet();
    let add = paused(pod, &config)?.spawn()?;
    let others = of(others);
    let under_way = eventually(SOON, "the ADD has its lease", || {
        let new: BTreeSet<IpAddr> = leased(node).difference(&others).copied().collect();
        if new.len() == 2 { Ok(new) } else { Err(format!("{new:?}")) }
    })?;
    let links = node.network()?.lines(&["link", "podl"]).len();
    meanwhile()?;
    assert!(leased(node).is_superset(&under_way), "the lease of an ADD in progress was released");
    assert_eq!(node.network()?.lines(&["link", "podl"]).len(), links, "the ADD was not paused long enough");
    let output = add.wait(SOON)?;
    if !output.success() {
        return Err(output.but("the ADD should have succeeded"));
    }
    it_sweeps(node)?;
    assert!(leased(node).is_superset(&under_way));
    pod.del(&config)
}

#[test]
fn pods_that_end_without_a_del_release_their_addresses_at_once_and_living_pods_keep_theirs() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let agent = node.agent(&BY_EVENTS)?;
        is_ready(node, &agent)?;
        let db = node.pod("db")?;
        let at_db = db.add(&config)?;
        for round in 0..3 {
            let pods = (0..5).map(|number| node.pod(&format!("web{round}-{number}"))).collect::<Result<Vec<_>, _>>()?;
            pods.iter().try_for_each(|pod| pod.add(&config).map(drop))?;
            assert_eq!(leased(node).len(), 12);
            pods.iter().try_for_each(Pod::remove)?;
            becomes(node, &agent, &[&at_db])?;
        }
        let _server = node.serve()?;
        db.reaches(&at_db, &node.ips())?;
        db.del(&config)
    });
}

#[test]
fn a_pod_whose_link_was_deleted_first_releases_its_address_when_its_namespace_is_deleted() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let agent = node.agent(&BY_EVENTS)?;
        is_ready(node, &agent)?;
        let (db, web) = (node.pod("db")?, node.pod("web")?);
        let (at_db, at_web) = (db.add(&config)?, web.add(&config)?);
        let looks = Looks::of(node);
        web.place().remove_link("eth0")?;
        looks.come_to_an_end()?;
        assert_eq!(leased(node), of(&[&at_db, &at_web]), "its namespace is there: the next ADD completes it");
        // Only the deletion of the file in its directory reports it now.
        web.remove()?;
        becomes(node, &agent, &[&at_db])
    });
}

/// A process that hangs keeps the namespace, and with it the link: it may still use the address.
#[test]
fn an_unmounted_namespace_keeps_its_lease_while_a_process_is_in_it() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let agent = node.agent(&ALL_THE_TIME)?;
        is_ready(node, &agent)?;
        let (db, web) = (node.pod("db")?, node.pod("web")?);
        let (at_db, at_web) = (db.add(&config)?, web.add(&config)?);
        let name = at_web.result["interfaces"][0]["name"].as_str().unwrap().to_owned();
        let stuck = web.command("sleep").arg("1000").spawn()?;
        web.remove()?;
        it_sweeps(node)?;
        assert_eq!(leased(node), of(&[&at_db, &at_web]));
        // Whatever its link is named.
        agent.stop(SOON)?;
        node.command("ip").args(["link", "set", &name, "down", "name", "other0"]).succeeds()?;
        node.command("ip").args(["link", "set", "other0", "up"]).succeeds()?;
        let to_pod = format!("{}/32", at_web.v4()?);
        node.command("ip").args(["route", "replace", &to_pod, "dev", "other0", "proto", "112"]).succeeds()?;
        let agent = node.agent(&ALL_THE_TIME)?;
        it_sweeps(node)?;
        assert!(leased(node).contains(&at_web.v4()?), "{}", agent.stderr());
        drop(stuck);
        becomes(node, &agent, &[&at_db])
    });
}

#[test]
fn an_add_in_progress_keeps_its_lease_however_often_the_agent_sweeps() {
    if !has_strace() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let agent = node.agent(&ALL_THE_TIME)?;
        is_ready(node, &agent)?;
        let (db, web, api) = (node.pod("db")?, node.pod("web")?, node.pod("api")?);
        let (at_db, at_web) = (db.add(&config)?, web.add(&config)?);
        an_add_under_way_keeps_its_lease(node, &api, &[&at_db, &at_web], || {
            web.remove()?;
            eventually(SOON, "the other's lease is released meanwhile", || {
                let left = leased(node);
                if left.contains(&at_web.v4().unwrap()) { Err(format!("{left:?}")) } else { Ok(()) }
            })
        })
    });
}

/// A container that has an empty /run/netns of its own.
#[test]
fn an_agent_that_cannot_see_the_namespaces_releases_nothing_and_warns() {
    if !has_strace() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let (db, web, api) = (node.pod("db")?, node.pod("web")?, node.pod("api")?);
        let (at_db, at_web) = (db.add(&config)?, web.add(&config)?);
        let agent = apart(node, "mount -t tmpfs none /run/netns", &ALL_THE_TIME)?;
        eventually(SOON, "the agent warns that it cannot see the namespaces", || {
            let said = fs::read_to_string(node.path("/run/podlan/node.json")).unwrap_or_default();
            if said.contains("/run/netns cannot be seen") { Ok(()) } else { Err(said + &agent.stderr()) }
        })?;
        an_add_under_way_keeps_its_lease(node, &api, &[&at_db, &at_web], || it_sweeps(node))?;
        web.remove()?;
        it_sweeps(node)?;
        assert_eq!(leased(node), of(&[&at_db, &at_web]), "pods that cannot be seen may be alive");
        Ok(())
    });
}

/// A container without the runtime's mounts: new namespaces look like plain files.
#[test]
fn an_agent_without_mount_propagation_releases_only_leases_of_removed_namespaces() {
    if !has_strace() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let db = node.pod("db")?;
        let at_db = db.add(&config)?;
        let agent = apart(node, "true", &ALL_THE_TIME)?;
        is_ready(node, &agent)?;
        let (web, api) = (node.pod("web")?, node.pod("api")?);
        let at_web = web.add(&config)?;
        an_add_under_way_keeps_its_lease(node, &api, &[&at_db, &at_web], || it_sweeps(node))?;
        web.remove()?;
        becomes(node, &agent, &[&at_db])
    });
}

/// The store survives a reboot, the pods do not; the first agent finds no living pod.
#[test]
fn leases_of_the_previous_boot_are_released_when_the_agent_starts() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut config = node.podnet();
        config["ipam"]["dataDir"] = json!("/run/lasting");
        let boot_id = "/proc/sys/kernel/random/boot_id";
        fs::write(node.path("/run/boot"), "6f3c2f4e-0d2b-4c5e-9d2f-000000000001\n").unwrap();
        let bind = || mount(Some("/run/boot"), boot_id, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        node.place().enter(bind)?.unwrap();
        let pods = ["web", "db"].map(|name| node.pod(name).unwrap());
        pods.iter().try_for_each(|pod| pod.add(&config).map(drop))?;
        pods.iter().try_for_each(Pod::remove)?;
        node.place().enter(|| umount2(boot_id, MntFlags::MNT_DETACH))?.unwrap();
        let places = ipam::places(&node.path("/run/lasting")).unwrap();
        assert_eq!(ipam::leases(&places[0]).unwrap().len(), 4);
        let agent = node.agent(&["--resync", "1h", "--data-dir", "/run/lasting"])?;
        eventually(SOON, "nothing is leased", || match ipam::leases(&places[0]).unwrap().as_slice() {
            [] => Ok(()),
            left => Err(format!("{left:?}\n{}", agent.stderr())),
        })
    });
}

#[test]
fn leases_of_pods_that_ended_without_an_agent_are_released_once_a_living_pod_shows_the_namespace_directory() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = node.podnet();
        let web = node.pod("web")?;
        let at_web = web.add(&config)?;
        web.remove()?;
        let agent = node.agent(&ALL_THE_TIME)?;
        is_ready(node, &agent)?;
        it_sweeps(node)?;
        assert_eq!(leased(node), of(&[&at_web]), "no living pod shows that this is the directory of namespaces");
        let at_db = node.pod("db")?.add(&config)?;
        becomes(node, &agent, &[&at_db])
    });
}

/// Pods are added and removed by four threads, every second one without a DEL, on a network that is nearly full.
#[test]
fn during_adds_no_living_pod_loses_its_address_and_no_dead_one_keeps_it() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut config = node.podnet();
        config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.0/28" }], [{ "subnet": "fd00:10:244:1::/124" }]]);
        let agent = node.agent(&ALL_THE_TIME)?;
        is_ready(node, &agent)?;
        let db = node.pod("db")?;
        let at_db = db.add(&config)?;
        let config = &config;
        thread::scope(|scope| {
            let hands: Vec<_> = (0..4)
                .map(|hand| {
                    scope.spawn(move || -> Result<(), Error> {
                        for number in 0..15 {
                            let pod = node.pod(&format!("pod{hand}-{number}"))?;
                            let added = pod.add(config)?;
                            pod.check(config, &added)?;
                            if number % 2 == 0 {
                                pod.del(config)?;
                            }
                            pod.remove()?;
                        }
                        Ok(())
                    })
                })
                .collect();
            hands.into_iter().try_for_each(|hand| hand.join().unwrap())
        })?;
        becomes(node, &agent, &[&at_db])?;
        db.check(config, &at_db)
    });
}
