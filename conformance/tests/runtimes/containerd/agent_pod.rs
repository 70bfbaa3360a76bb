//! The agent as its cluster runs it: a container from the image of scripts/image, with the privileges and the mounts of
//! deploy/kubernetes/podlan.yaml.
//!
//! ```text
//!   node1  pod podlan (host network) ──┬── lan ──┬── node2  pod podlan (host network)
//!     └── web                          │         │     └── far
//!   under deploy/seccomp               │         │  under the runtime's own seccomp profile
//! ```

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use podlan_conformance::agent::{metrics_at, serves_ready};
use podlan_conformance::lab::{self, Error, Lab, PORT, Running, SHARED, binaries, eventually, every, within};
use serde_json::{Value, json};

use super::daemon::Loopback;
use super::deployed::{Deployed, Template};
use super::parts::Parts;
use super::pod::Container;
use super::rig::{INSIDE, LAB, Rig, Worker};

const SOON: Duration = Duration::from_secs(15);
const HOST_PORT: u16 = 30777;

/// The bits of `CapEff` in /proc: `CAP_NET_ADMIN` alone (capability.h).
const NET_ADMIN_ALONE: &str = "0000000000001000";

/// An image of the programs under test, of another time than the commit's where one is given: another image then.
fn image(name: &str, time: Option<&str>) -> PathBuf {
    let archive = Path::new(SHARED).join(name);
    let folder = binaries::find("podlan-node").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/image");
    let mut command = Command::new(script);
    command.args([std::env::consts::ARCH, "--binaries"]).arg(folder.parent().unwrap());
    let made =
        command.arg("--output").arg(&archive).envs(time.map(|time| ("SOURCE_DATE_EPOCH", time))).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    archive
}

fn network_is(worker: &Worker<'_>, ready: bool) -> Result<(), Error> {
    eventually(SOON, &format!("NetworkReady of {} is {ready}", worker.node.name()), || {
        let condition = worker.containerd.cri.network_ready().map_err(|error| error.to_string())?;
        if condition.status == ready { Ok(()) } else { Err(format!("{condition:?}")) }
    })
}

fn answers_ready(worker: &Worker<'_>, at: SocketAddr) -> Result<(), Error> {
    eventually(SOON, &format!("the agent of {} is ready", worker.node.name()), || serves_ready(worker.node, at))
}

/// The status in /proc of each agent of the lab.
fn agents_in_proc() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let agents =
        entries.filter(|entry| fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == "podlan-node\n"));
    agents.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok()).collect()
}

fn conflist(worker: &Worker<'_>) -> Option<Value> {
    let text = fs::read_to_string(worker.containerd.conf_dir().join("10-podlan.conflist")).ok()?;
    serde_json::from_str(&text).ok()
}

/// Sends requests until `enough`; counts them, and returns the failures.
struct Traffic {
    asked: AtomicUsize,
    enough: AtomicBool,
}

impl Traffic {
    fn run(&self, client: &Container<'_>, to: &[IpAddr]) -> Vec<String> {
        let words: Vec<String> = every(to).iter().map(ToString::to_string).collect();
        let command: Vec<&str> = [LAB, "probe"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let mut failures = Vec::new();
        while !self.enough.load(Ordering::Relaxed) {
            let ended = client.exec(&command);
            self.asked.fetch_add(1, Ordering::Relaxed);
            if ended.code != 0 {
                failures.push(format!("{ended:?}"));
            }
        }
        failures
    }

    fn goes_on(&self) -> Result<(), Error> {
        let before = self.asked.load(Ordering::Relaxed);
        eventually(SOON, "traffic goes on", || match self.asked.load(Ordering::Relaxed) {
            now if now > before + 2 => Ok(()),
            now => Err(format!("asked {now} times")),
        })
    }
}

/// A client in the network of a node's only pod: it holds connections to servers, and sends requests over new ones too.
fn steady(worker: &Worker<'_>, servers: &[IpAddr]) -> Result<Running, Error> {
    let dir = worker.containerd.netns_dir();
    let found = worker.node.place().enter(|| fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect());
    let found: Vec<PathBuf> = found?;
    let [netns] = &found[..] else { panic!("one pod runs on {}: {found:?}", worker.node.name()) };
    let place = worker.node.place().netns("web", netns);
    let servers = servers.iter().map(|&server| SocketAddr::new(server, PORT).to_string());
    lab::Command::new(place, binaries::lab()?).arg("steady").args(servers).spawn()
}

/// What it carried over the connections that it holds, and how often anything failed.
fn carried(client: &Running) -> Option<(usize, usize)> {
    let said = client.stdout();
    let last = said.lines().rfind(|line| line.starts_with("asked "))?.to_owned();
    let numbers: Vec<usize> = last.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    Some((*numbers.get(1)?, *numbers.get(2)?))
}

/// It carries on, and nothing ever failed.
fn holds_on(client: &Running) -> Result<(), Error> {
    let before = carried(client).map_or(0, |(carried, _)| carried);
    eventually(SOON, "the held connections carry on", || match carried(client) {
        Some((now, 0)) if now > before + 20 => Ok(()),
        _ => Err(client.stdout()),
    })
}

#[test]
fn the_agent_in_its_container_makes_nodes_ready_and_is_replaced_and_removed_under_traffic() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::bare(&lab, &parts, Loopback::Internal)?;
        let workers: [Worker<'_>; 2] = rig.workers();
        let [one, two] = workers;
        let before = [one.node.network()?, two.node.network()?];
        let templates = [Template::of("podlan.yaml").with_the_shipped_profile(), Template::of("podlan.yaml")];
        let (listens, archive) = (templates[0].listens(), image("podlan.tar", None));
        for worker in &workers {
            worker.node.share_mounts()?;
            network_is(worker, false)?;
            worker.containerd.import(&archive);
        }
        let agents = [0, 1].map(|node| templates[node].start("podlan", &workers[node], None));
        for worker in &workers {
            network_is(worker, true)?;
            answers_ready(worker, listens)?;
        }
        let chain = |worker| conflist(worker).map(|list| list["plugins"].as_array().map_or(0, Vec::len));
        assert_eq!((chain(&one), chain(&two)), (Some(1), Some(1)), "nothing is chained");
        let said = agents_in_proc();
        let is = |status: &String, what: &str| status.lines().any(|line| line.split_whitespace().eq(what.split(' ')));
        assert_eq!(said.len(), 2);
        for what in [&*format!("CapEff: {NET_ADMIN_ALONE}"), "NoNewPrivs: 1", "Seccomp: 2", "Uid: 0 0 0 0"] {
            assert!(said.iter().all(|status| is(status, what)), "{what}: {said:#?}");
        }
        let profile: Value = serde_json::from_str(include_str!("../../../../deploy/seccomp/podlan-node.json")).unwrap();
        let shipped = serde_json::from_value(profile["syscalls"][0]["names"].clone()).unwrap();
        assert_eq!(agents[0].allowed_calls(&one), shipped);
        assert!(agents[1].allowed_calls(&two).contains("symlink"), "the runtime's own allows more");
        let status: Value = serde_json::from_str(&agents[0].run(&["podlan-node", "status", "--json"])).unwrap();
        assert_eq!(status["warnings"], json!([]), "{status:#}");

        let (web, far) = (one.pod_with_host_port("web", HOST_PORT, PORT), two.pod("far"));
        for pod in [&web, &far] {
            pod.container("server", &[LAB, "serve"]).is_serving();
        }
        let by_port = two.node.command(binaries::lab()?).args(["probe", "--port", &HOST_PORT.to_string()]);
        by_port.arg(format!("tcp={}", one.node.v4())).succeeds()?;
        let client = web.container("client", &[INSIDE, "pause"]);

        let traffic = Traffic { asked: AtomicUsize::new(0), enough: AtomicBool::new(false) };
        let to = far.addresses();
        let held = steady(&one, &to)?;
        holds_on(&held)?;
        let agents = thread::scope(|scope| {
            let asking = scope.spawn(|| traffic.run(&client, &to));
            let replaced = traffic.goes_on().and_then(|()| replace(&workers, agents, &templates));
            let replaced = replaced.and_then(|agents| traffic.goes_on().map(|()| agents));
            traffic.enough.store(true, Ordering::Relaxed);
            assert_eq!(asking.join().unwrap(), Vec::<String>::new(), "no request was lost");
            replaced
        })?;
        holds_on(&held)?;
        drop(held);

        a_dead_pods_address_is_released(&one, listens)?;
        web.end();
        far.end();
        agents.into_iter().for_each(Deployed::end);
        let cleanups =
            [Template::of("cleanup/cleanup.yaml").with_the_shipped_profile(), Template::of("cleanup/cleanup.yaml")];
        let _cleaning = [0, 1].map(|node| cleanups[node].start("podlan-cleanup", &workers[node], None));
        for (worker, before) in workers.iter().zip(&before) {
            network_is(worker, false)?;
            eventually(SOON, "nothing is left of podlan", || {
                let named =
                    |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
                let files = named(worker.containerd.bin_dir()).chain(named(worker.containerd.conf_dir()));
                let left: Vec<_> = files.filter(|name| name.to_string_lossy().contains("podlan")).collect();
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            })?;
            worker.is_empty_as(before)?;
        }
        Ok(())
    });
}

/// One node after the other, as a rolling update does: the pod ends, one from another image comes. No node becomes
/// unready to the runtime at any time.
fn replace<'a>(
    workers: &[Worker<'a>],
    agents: impl IntoIterator<Item = Deployed<'a>>,
    templates: &[Template],
) -> Result<Vec<Deployed<'a>>, Error> {
    let archive = image("podlan-next.tar", Some("1000000000"));
    let mut replaced = Vec::new();
    for ((worker, template), agent) in workers.iter().zip(templates).zip(agents) {
        worker.containerd.import(&archive);
        let over = AtomicBool::new(false);
        let next = thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut unready = 0;
                while !over.load(Ordering::Relaxed) {
                    unready += usize::from(!worker.containerd.cri.network_ready().unwrap().status);
                }
                unready
            });
            agent.end();
            let next = template.start("podlan-next", worker, None);
            let ready = answers_ready(worker, template.listens()).map(|()| next);
            over.store(true, Ordering::Relaxed);
            assert_eq!(watching.join().unwrap(), 0, "{} was unready", worker.node.name());
            ready
        })?;
        replaced.push(next);
    }
    Ok(replaced)
}

/// A pod whose namespace is deleted without a DEL: the agent sees it alive, and then deleted, through its own mounts.
fn a_dead_pods_address_is_released(worker: &Worker<'_>, agent: SocketAddr) -> Result<(), Error> {
    let mut podnet = worker.node.podnet();
    podnet["agent"] = json!("/run/podlan/node.json");
    let lost = worker.node.pod("lost")?;
    let leases = worker.leases();
    lost.add(&podnet)?;
    let all = worker.leases();
    // The deletion of any namespace triggers a sweep.
    worker.node.pod("passing")?.remove()?;
    eventually(SOON, "the agent sees that it is alive", || {
        let metrics = metrics_at(worker.node, agent)?;
        let alive = metrics.lines().filter(|line| line.contains("leases{") && line.contains("state=\"alive\""));
        let alive = alive.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum::<usize>();
        if alive == all.len() { Ok(()) } else { Err(metrics) }
    })?;
    assert_eq!(worker.leases(), all, "it is alive");
    lost.remove()?;
    eventually(SOON, "the address is free again", || {
        if worker.leases() == leases { Ok(()) } else { Err(format!("{:?}", worker.leases())) }
    })
}
