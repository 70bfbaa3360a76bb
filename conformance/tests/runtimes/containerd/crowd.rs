//! Many pods at once, and a runtime that is killed while they run.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;

use podlan_conformance::lab::{Lab, within};

use super::parts::Parts;
use super::pod::Pod;
use super::rig::{INSIDE, LAB, Rig};

const PODS: usize = 40;
const AT_ONCE: usize = 20;

/// Does `body` for each item, [`AT_ONCE`] of them at a time.
fn in_parallel<T: Send, R: Send>(items: Vec<T>, body: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut done = Vec::new();
    let mut waiting = items.into_iter().peekable();
    while waiting.peek().is_some() {
        let batch: Vec<T> = waiting.by_ref().take(AT_ONCE).collect();
        thread::scope(|scope| {
            let running: Vec<_> = batch.into_iter().map(|item| scope.spawn(|| body(item))).collect();
            done.extend(running.into_iter().map(|one| one.join().unwrap()));
        });
    }
    done
}

#[test]
fn forty_pods_twenty_at_a_time_get_addresses_of_their_own_and_leave_nothing() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let before = one.node.network()?;
        let names: Vec<String> = (0..PODS).map(|number| format!("pod{number}")).collect();
        let pods = in_parallel(names, |name| one.pod(&name));
        let addresses: Vec<IpAddr> = pods.iter().flat_map(Pod::addresses).collect();
        assert_eq!(addresses.len(), 2 * PODS);
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 2 * PODS, "{addresses:?}");
        in_parallel(pods, Pod::end);
        one.is_empty_as(&before)
    });
}

#[test]
fn pods_live_on_when_containerd_is_killed_and_end_cleanly_after_it_is_back() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let before = one.node.network()?;
        let pod = one.pod("lasting");
        let addresses = pod.addresses();
        let server = pod.container("server", &[LAB, "serve"]);
        server.is_serving();

        one.containerd.kill_and_restart();
        one.node.reaches(&addresses)?;
        assert_eq!(pod.addresses(), addresses);
        assert_eq!(server.run(&[INSIDE, "read", "/proc/sys/kernel/hostname"]), "lasting");
        let later = one.pod("later");
        assert!(later.addresses().iter().all(|address| !addresses.contains(address)));
        pod.end();
        later.end();
        one.is_empty_as(&before)
    });
}
