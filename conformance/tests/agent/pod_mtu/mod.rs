//! The node's MTU changes while pods are running: their links follow, and no packet is lost.
//!
//! ```text
//!   node1 (agent)  default route by eth0, whose MTU changes
//!     ├── web     both families     ├── chosen   a network with an MTU of its own
//!     ├── client  both families     └── tuned    another MTU at the pod's end alone
//!     ├── four    IPv4 alone
//!     └── six     IPv6 alone
//! ```

mod traffic;

use std::fs;
use std::time::Duration;

use podlan_conformance::agent::{METRICS, metric, state};
use podlan_conformance::lab::{Command, Error, Lab, Node, Pod, Running, binaries, eventually, has_strace, within};
use serde_json::{Value, json};

use traffic::Traffic;

const SOON: Duration = Duration::from_secs(20);

fn failed(doing: &str) -> impl Fn(std::io::Error) -> Error {
    let doing = doing.to_owned();
    move |source| Error::System { doing: doing.clone(), source }
}

fn ip(node: &Node, words: &str) -> Result<String, Error> {
    node.command("ip").args(words.split(' ')).succeeds()
}

fn set_node_mtu(node: &Node, mtu: u32) -> Result<(), Error> {
    ip(node, &format!("link set eth0 mtu {mtu}")).map(drop)
}

/// A node whose pods inherit eth0's MTU.
fn prepare(node: &Node) -> Result<(), Error> {
    fs::create_dir_all(node.path("/run/net.d")).map_err(failed("make net.d"))?;
    ip(node, "route add default via 172.31.0.254 dev eth0").map(drop)
}

/// The agent. It acts on events only: the test is over before the first resync.
fn command(node: &Node) -> Result<Command, Error> {
    let agent = node.command(binaries::find("podlan-node")?).args(["run", "--node-name", node.name()]);
    Ok(agent.args(["--nodes", Lab::NODES_FILE, "--cni-conf-dir", "/run/net.d", "--resync", "1h"]))
}

/// Starts it and waits until it has read the current MTU.
fn agent(node: &Node, mtu: u32) -> Result<Running, Error> {
    start(node, command(node)?, mtu)
}

/// The same, but so slow that packets pass after each of its messages to the kernel.
fn slow_agent(node: &Node, mtu: u32) -> Result<Running, Error> {
    let slow = ["-f", "-qq", "-o", "/dev/null", "--trace=sendto", "--inject=sendto:delay_exit=10000"];
    let agent = command(node)?;
    start(node, if has_strace() { agent.under("strace", slow) } else { agent }, mtu)
}

fn start(node: &Node, agent: Command, mtu: u32) -> Result<Running, Error> {
    let agent = agent.spawn()?;
    eventually(SOON, "the agent has read the MTU", || match state(node) {
        said if said["routed"] == true && last(&said["podMtus"]) == Some(mtu.into()) => Ok(()),
        said => Err(format!("{said}\n{}", agent.stderr())),
    })?;
    Ok(agent)
}

fn last(list: &Value) -> Option<u64> {
    list.as_array()?.last()?.as_u64()
}

fn mtu(line: &str) -> Option<u32> {
    line.split_once(" mtu ")?.1.split(' ').next()?.parse().ok()
}

/// The name of a pod's host end.
fn host_end(pod: &Pod<'_>) -> Result<String, Error> {
    let said = ip(pod.node(), "-o link show type veth")?;
    let line = said.lines().find(|line| line.contains(&format!(" {} eth0", pod.name()))).unwrap_or_default();
    Ok(line.split(' ').nth(1).unwrap_or_default().split(['@', ':']).next().unwrap_or_default().to_owned())
}

/// The MTUs of the host end and of the pod's end, and whether the MTU of a route to the pod is locked.
fn link(pod: &Pod<'_>) -> Result<(Option<u32>, Option<u32>, bool), Error> {
    let (node, host) = (pod.node(), host_end(pod)?);
    let outside = ip(node, &format!("-o link show {host}"))?;
    let inside = pod.command("ip").args(["-o", "link", "show", "eth0"]).succeeds()?;
    let mut routes = ip(node, &format!("route show dev {host}"))?;
    routes += &ip(node, &format!("-6 route show dev {host}"))?;
    Ok((mtu(&outside), mtu(&inside), routes.contains("lock")))
}

fn have(pods: &[&Pod<'_>], mtu: u32, agent: &Running) -> Result<(), Error> {
    eventually(SOON, &format!("every pod has {mtu}"), || {
        for pod in pods {
            let now = link(pod).map_err(|error| error.to_string())?;
            if now != (Some(mtu), Some(mtu), false) {
                return Err(format!("{} has {now:?}\n{}", pod.name(), agent.stderr()));
            }
        }
        Ok(())
    })
}

/// The node's network with the ranges of one family.
fn of_family(node: &Node, which: usize) -> Value {
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([config["ipam"]["ranges"][which]]);
    config
}

#[test]
fn links_of_living_pods_follow_the_nodes_mtu_and_no_packet_in_flight_is_lost() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        prepare(node)?;
        let [web, client, four, six] = ["web", "client", "four", "six"].map(|name| node.pod(name));
        let (web, client, four, six) = (web?, client?, four?, six?);
        let at_web = web.add(&node.podnet())?;
        client.add(&node.podnet())?;
        four.add(&of_family(node, 0))?;
        six.add(&of_family(node, 1))?;
        let (chosen, tuned) = (node.pod("chosen")?, node.pod("tuned")?);
        let mut own = node.podnet();
        own["name"] = json!("own");
        own["mtu"] = json!(1500);
        own["ipam"]["ranges"] = json!([[{ "subnet": "10.99.0.0/24" }]]);
        chosen.add(&own)?;
        let own = json!({ "cniVersion": "1.0.0", "name": "own", "plugins": [own] });
        fs::write(node.path("/run/net.d/50-own.conflist"), own.to_string()).map_err(failed("write a conflist"))?;
        tuned.add(&node.podnet())?;
        tuned.command("ip").args(["link", "set", "eth0", "mtu", "1350"]).succeeds()?;
        let agent = slow_agent(node, 1500)?;

        let traffic = Traffic::start(&web, &client, &at_web)?;
        for mtu in [1400, 1500, 9000, 1400, 9000, 1500] {
            traffic.flows(&agent)?;
            set_node_mtu(node, mtu)?;
            have(&[&web, &client, &four, &six], mtu, &agent)?;
        }
        traffic.flows(&agent)?;
        let dropped = traffic.stop()?;
        assert_eq!(dropped, 0, "packets that an end dropped: {}", agent.stderr());
        assert_eq!(link(&chosen)?, (Some(1500), Some(1500), false), "its MTU was configured");
        assert_eq!(link(&tuned)?, (Some(1500), Some(1350), false), "its MTU was set at one end");
        set_node_mtu(node, 1400)?;
        have(&[&web, &client, &four, &six], 1400, &agent)?;
        assert_eq!(link(&chosen)?, (Some(1500), Some(1500), false), "its MTU was configured");
        assert_eq!(link(&tuned)?, (Some(1500), Some(1350), false), "its MTU was set at one end");
        assert_eq!(state(node)["formerMtuPods"], 0);
        Ok(())
    });
}

/// The reason why the plan locks the MTU of routes first: whichever end changes first, it silently drops packets of the
/// other side.
#[test]
fn changing_either_end_of_a_link_first_loses_packets() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        prepare(node)?;
        let (web, client) = (node.pod("web")?, node.pod("client")?);
        let at_web = web.add(&node.podnet())?;
        client.add(&node.podnet())?;
        for pod_first in [true, false] {
            let traffic = Traffic::start(&web, &client, &at_web)?;
            match pod_first {
                true => drop(web.command("ip").args(["link", "set", "eth0", "mtu", "1400"]).succeeds()?),
                false => drop(ip(node, &format!("link set {} mtu 1400", host_end(&web)?))?),
            }
            eventually(SOON, "packets are dropped", || {
                match traffic.dropped().map_err(|error| error.to_string())? {
                    0 => Err("none yet".into()),
                    _ => Ok(()),
                }
            })?;
            drop(traffic);
            web.command("ip").args(["link", "set", "eth0", "mtu", "1500"]).succeeds()?;
            ip(node, &format!("link set {} mtu 1500", host_end(&web)?))?;
        }
        Ok(())
    });
}

/// Each state in which a killed agent can leave a link, made by hand; the MTU may have changed again meanwhile.
#[test]
fn an_agent_completes_the_mtu_change_of_a_killed_one() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        prepare(node)?;
        let web = node.pod("web")?;
        let at_web = web.add(&node.podnet())?;
        let host = host_end(&web)?;
        agent(node, 1500)?.stop(SOON)?;
        for (held, outside, inside, now) in [
            (1400, 1500, 1500, 1400),
            (1400, 1500, 1400, 1400),
            (1400, 1400, 1400, 1400),
            (1400, 9000, 1400, 9000),
            (1400, 9000, 9000, 9000),
            (1400, 1500, 1400, 9000),
            (1400, 9000, 1400, 1500),
        ] {
            for route in at_web.ips() {
                ip(node, &format!("route change {route} dev {host} proto 112 mtu lock {held}"))?;
            }
            ip(node, &format!("link set {host} mtu {outside}"))?;
            web.command("ip").args(["link", "set", "eth0", "mtu", &inside.to_string()]).succeeds()?;
            assert_eq!(link(&web)?, (Some(outside), Some(inside), true));
            set_node_mtu(node, now)?;
            let agent = agent(node, now)?;
            have(&[&web], now, &agent)?;
            agent.stop(SOON)?;
        }
        Ok(())
    });
}

#[test]
fn doctor_fix_changes_mtus_that_the_agent_may_not_and_names_those_it_must_not_change() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        prepare(node)?;
        let (web, tuned) = (node.pod("web")?, node.pod("tuned")?);
        web.add(&node.podnet())?;
        tuned.add(&node.podnet())?;
        tuned.command("ip").args(["link", "set", "eth0", "mtu", "1350"]).succeeds()?;
        set_node_mtu(node, 1400)?;
        let _agent = agent(node, 1400)?;
        assert_eq!(link(&web)?, (Some(1500), Some(1500), false), "to the agent the MTU may be configured");
        let doctor = binaries::find("podlan-node")?;
        let said = node.command(&doctor).args(["doctor", "--fix"]).run()?;
        assert!(said.stdout.contains("not fixed: the MTU of pods is not 1400 yet: default/tuned"), "{}", said.report());
        assert_eq!(link(&web)?, (Some(1400), Some(1400), false));
        assert_eq!(link(&tuned)?, (Some(1500), Some(1350), false));
        Ok(())
    });
}

/// As deploy/kubernetes runs it: one capability, and the system calls of deploy/seccomp.
#[test]
fn an_agent_without_access_to_pod_namespaces_leaves_their_links_unchanged_and_names_them() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        prepare(node)?;
        let web = node.pod("web")?;
        web.add(&node.podnet())?;
        let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/seccomp/podlan-node.json");
        let one_capability = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+net_admin"];
        let confined = command(node)?.args(["--listen", &METRICS.to_string()]);
        let confined = confined.under(&binaries::lab()?.display().to_string(), ["allow", profile, "--"]);
        let agent = start(node, confined.under("setpriv", one_capability), 1500)?;
        set_node_mtu(node, 1400)?;
        let texts = ["1 pods keep a former MTU", "default/web", "enter network namespace", "doctor --fix"];
        eventually(SOON, "it names the pod with a former MTU", || {
            let warnings = state(node)["warnings"].to_string();
            let count = metric(node, "podlan_node_former_mtu_pods")?;
            let logged = agent.stderr().contains("default/web");
            if texts.iter().all(|text| warnings.contains(text)) && count == 1 && logged {
                return Ok(());
            }
            Err(format!("{warnings}\n{count} pods\n{}", agent.stderr()))
        })?;
        assert_eq!(link(&web)?, (Some(1500), Some(1500), false), "a partial change would be worse than none");

        // The command that the warning names.
        node.command(binaries::find("podlan-node")?).args(["doctor", "--fix", "--cni-conf-dir", "/run/net.d"]).run()?;
        assert_eq!(link(&web)?, (Some(1400), Some(1400), false));
        Ok(())
    });
}
