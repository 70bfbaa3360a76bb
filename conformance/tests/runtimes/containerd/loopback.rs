//! Which program sets a pod's loopback up: the reference's plugin, or (from containerd 2.0 on, where configured) the
//! runtime itself.

use podlan_conformance::lab::{Error, Lab, within};

use super::daemon::Loopback;
use super::parts::Parts;
use super::rig::{INSIDE, LAB, Rig};

fn a_pod_talks_to_itself(parts: &Parts, loopback: Loopback) -> Result<(), Error> {
    let lab = Lab::new(1)?;
    let rig = Rig::with_loopback(&lab, parts, loopback)?;
    let [one] = rig.workers();
    let before = one.node.network()?;
    let pod = one.pod("alone");
    pod.container("server", &[LAB, "serve"]).is_serving();
    let client = pod.container("client", &[INSIDE, "pause"]);
    client.run(&[LAB, "probe", "tcp=127.0.0.1", "udp=127.0.0.1", "tcp=::1", "udp=::1"]);

    let is_known = !one.containerd.is_of_major(1);
    let calls = one.calls("loopback", &pod.sandbox);
    assert_eq!(calls.is_empty(), is_known && loopback == Loopback::Internal, "{calls:#?}");
    pod.end();
    one.is_empty_as(&before)
}

#[test]
fn a_pod_has_its_loopback_where_the_runtime_runs_the_plugin() {
    let Some(parts) = Parts::find() else { return };
    within(|| a_pod_talks_to_itself(&parts, Loopback::Plugin));
}

#[test]
fn a_pod_has_its_loopback_where_the_runtime_brings_it_up_itself() {
    let Some(parts) = Parts::find() else { return };
    within(|| a_pod_talks_to_itself(&parts, Loopback::Internal));
}
