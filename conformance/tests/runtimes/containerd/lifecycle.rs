//! A pod's end under a real runtime: nothing is left, however often DEL is called.

use podlan_conformance::lab::{Lab, within};
use serde_json::Value;

use super::parts::Parts;
use super::rig::Rig;

#[test]
fn a_removed_pod_leaves_no_link_route_or_lease() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let before = one.node.network()?;
        let pod = one.pod("short");
        assert_ne!(one.node.network()?.since(&before), "", "a pod has a link on its node");
        assert_eq!(one.leases(), pod.addresses());
        pod.end();
        one.is_empty_as(&before)
    });
}

/// containerd calls DEL once for each StopPodSandbox, including the one inside RemovePodSandbox; from the second call
/// on the namespace is gone, CNI_NETNS is set and empty, and there is no prevResult.
#[test]
fn del_is_repeated_with_an_empty_netns_and_succeeds_each_time() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let pod = one.pod("short");
        let sandbox = pod.sandbox.clone();
        pod.end();
        let calls = one.calls("podlan", &sandbox);
        let calls_seen: Vec<(&str, bool, bool)> = calls
            .iter()
            .map(|call| {
                let has_netns = call["netns"].as_str().is_some_and(|netns| !netns.is_empty());
                (call["command"].as_str().unwrap_or(""), has_netns, call["config"]["prevResult"].is_object())
            })
            .collect();
        assert_eq!(
            calls_seen,
            [("ADD", true, false), ("DEL", true, true), ("DEL", false, false), ("DEL", false, false)],
            "{calls:#?}"
        );
        assert!(calls.iter().all(|call| call["code"] == 0), "{calls:#?}");
        assert!(calls[1..].iter().all(|call| call["answer"] == ""), "DEL prints nothing: {calls:#?}");
        assert!(calls.iter().all(|call| call["netns"] != Value::Null), "CNI_NETNS is set, if empty: {calls:#?}");
        Ok(())
    });
}
