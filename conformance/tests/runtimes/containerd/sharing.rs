//! Containers of one pod share its network, host name and IPC; another pod shares none of them.

use podlan_conformance::lab::{Lab, within};

use super::parts::Parts;
use super::rig::{INSIDE, LAB, Rig};

#[test]
fn two_containers_of_a_pod_share_localhost_and_the_port_space_and_another_pod_does_not() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let (web, other) = (one.pod("web"), one.pod("other"));
        let server = web.container("server", &[LAB, "serve"]);
        server.is_serving();
        let beside = web.container("beside", &[INSIDE, "pause"]);
        let stranger = other.container("stranger", &[INSIDE, "pause"]);

        let saw = beside.run(&[LAB, "probe", "tcp=127.0.0.1", "udp=127.0.0.1", "tcp=::1", "udp=::1"]);
        assert_eq!(saw, "tcp=127.0.0.1 saw 127.0.0.1\nudp=127.0.0.1 saw 127.0.0.1\ntcp=::1 saw ::1\nudp=::1 saw ::1",);
        let silent = stranger.exec(&[LAB, "probe", "tcp=127.0.0.1", "tcp=::1"]);
        assert!(silent.code != 0 && !silent.stdout.contains("saw"), "{silent:?}");

        for port in ["tcp=0.0.0.0", "udp=0.0.0.0", "tcp=::", "udp=::"] {
            let taken = beside.exec(&[LAB, "bind", port, "7777"]);
            assert!(taken.code != 0 && taken.stderr.to_lowercase().contains("address in use"), "{port}: {taken:?}");
            stranger.run(&[LAB, "bind", port, "7777"]);
        }
        web.end();
        other.end();
        Ok(())
    });
}

#[test]
fn two_containers_of_a_pod_share_its_host_name_and_message_queues_and_another_pod_does_not() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let (web, other) = (one.pod("web"), one.pod("other"));
        let [first, second] = ["first", "second"].map(|name| web.container(name, &[INSIDE, "pause"]));
        let stranger = other.container("stranger", &[INSIDE, "pause"]);

        let hostname = [INSIDE, "read", "/proc/sys/kernel/hostname"];
        assert_eq!([&first, &second, &stranger].map(|container| container.run(&hostname)), ["web", "web", "other"]);

        first.run(&[INSIDE, "create", "/dev/mqueue/from-first"]);
        let queues = [INSIDE, "list", "/dev/mqueue"];
        assert_eq!(second.run(&queues), "from-first");
        assert_eq!(stranger.run(&queues), "");
        web.end();
        other.end();
        Ok(())
    });
}
