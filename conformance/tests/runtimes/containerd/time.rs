//! How long a pod's sandbox takes, and the network's share of it: podlan and the reference ptp in one run. podlan is
//! compared with ptp only, never with a clock: the figures are printed for people (main.rs says how to see them).

use std::time::{Duration, Instant};

use podlan_conformance::lab::{Lab, Node, within};
use serde_json::{Value, json};

use super::parts::Parts;
use super::rig::{Rig, Worker, conflist};

const RUNS: usize = 8;

#[test]
fn a_pod_waits_less_for_podlan_with_two_families_than_for_ptp_with_one() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        for name in ["ptp", "host-local"] {
            one.containerd.install_plugin(name, &parts.plugin(name));
        }
        let networks = [
            ("podlan", "podlan, dual stack", conflist(one.node.podnet())),
            ("podlan", "podlan, v4", conflist(v4_only(one.node.podnet()))),
            ("ptp", "ptp + host-local, v4", conflist(ptp(one.node))),
        ];
        let mut adds = Vec::new();
        for (plugin, title, conflist) in networks {
            one.containerd.use_conflist(&conflist)?;
            let mut sandboxes = Vec::new();
            let mut ends = Vec::new();
            let known = one.containerd.calls().len();
            for number in 0..RUNS {
                let began = Instant::now();
                let pod = one.pod(&format!("timed{number}"));
                sandboxes.push(began.elapsed());
                let began = Instant::now();
                pod.end();
                ends.push(began.elapsed());
            }
            let (add, del) = (spent(&one, plugin, "ADD", known), spent(&one, plugin, "DEL", known));
            for (case, times) in [("RunPodSandbox", &sandboxes), ("ADD within", &add), ("stop, stop, remove", &ends)] {
                // The benchmark reads these lines (benches/podlan/part/runtime.rs).
                times.iter().for_each(|time| eprintln!("bench: {title}\t{case}\t{}", time.as_secs_f64() * 1e3));
            }
            let [sandbox, end, add, del] = [sandboxes, ends, add, del].map(median);
            eprintln!(
                "{title}: RunPodSandbox {sandbox:.1?}, of which ADD {add:.1?} ({:.0} %); stop, stop, remove {end:.1?}, a DEL {del:.1?}",
                100.0 * add.as_secs_f64() / sandbox.as_secs_f64(),
            );
            adds.push(add);
        }
        assert!(adds[0] < adds[2], "ADD of {adds:?}");
        Ok(())
    });
}

fn spent(worker: &Worker<'_>, plugin: &str, verb: &str, known: usize) -> Vec<Duration> {
    let calls = worker.containerd.calls();
    let those = calls[known..].iter().filter(|call| call["plugin"] == plugin && call["command"] == verb);
    those.map(|call| Duration::from_micros(call["micros"].as_u64().unwrap())).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn v4_only(mut podnet: Value) -> Value {
    podnet["ipam"]["ranges"].as_array_mut().unwrap().truncate(1);
    podnet
}

fn ptp(node: &Node) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "reference", "type": "ptp",
        "ipam": {
            "type": "host-local", "ranges": [[{"subnet": node.pod_cidrs()[0].to_string()}]],
            "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/host-local",
        },
    })
}
