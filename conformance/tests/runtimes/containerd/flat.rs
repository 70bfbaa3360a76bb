//! The law of a flat network under a real runtime: any pod reaches any other at that pod's own address, and is seen at
//! its own.

use std::net::IpAddr;

use podlan_conformance::lab::{Lab, every, within};
use podlan_conformance::traffic::{Answer, Report};

use super::parts::Parts;
use super::pod::{Container, Pod};
use super::rig::{INSIDE, LAB, Rig};

/// Every server in `to` gets a request by every protocol, and has seen one of `own`.
pub fn is_seen_as_itself(client: &Container<'_>, own: &[IpAddr], to: &[IpAddr]) {
    let targets = every(to);
    let words: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let command: Vec<&str> = [LAB, "probe"].into_iter().chain(words.iter().map(String::as_str)).collect();
    let said = client.run(&command);
    let reports: Vec<Report> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(reports.len(), targets.len(), "{said}");
    for report in reports {
        assert!(matches!(report.answer, Answer::Saw(address) if own.contains(&address)), "{own:?}: {report}");
    }
}

/// A pod with a server and a container for clients.
pub fn talker<'a>(pod: &Pod<'a>) -> Container<'a> {
    pod.container("server", &[LAB, "serve"]).is_serving();
    pod.container("client", &[INSIDE, "pause"])
}

#[test]
fn pods_reach_each_other_across_nodes_and_on_one_at_their_own_addresses() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one, two] = rig.workers();
        let pods = [one.pod("web"), one.pod("neighbour"), two.pod("far")];
        let addresses: Vec<Vec<IpAddr>> = pods.iter().map(Pod::addresses).collect();
        for (own, worker) in addresses.iter().zip([one, one, two]) {
            let [v4, v6] = worker.node.pod_cidrs();
            assert!(matches!(own[..], [a, b] if v4.contains(a) && v6.contains(b)), "{own:?} of {v4} and {v6}");
        }
        let talkers: Vec<Container<'_>> = pods.iter().map(talker).collect();
        for (talker, own) in talkers.iter().zip(&addresses) {
            is_seen_as_itself(talker, own, &addresses.concat());
        }
        for pod in pods {
            pod.end();
        }
        Ok(())
    });
}

#[test]
fn a_node_reaches_its_pods_and_those_of_the_other_at_its_own_address_and_they_reach_it() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one, two] = rig.workers();
        let pods = [one.pod("near"), two.pod("far")];
        let _servers = [one.node.serve()?, two.node.serve()?];
        for pod in &pods {
            let client = talker(pod);
            one.node.reaches(&pod.addresses())?;
            is_seen_as_itself(&client, &pod.addresses(), &[one.node.ips(), two.node.ips()].concat());
        }
        for pod in pods {
            pod.end();
        }
        Ok(())
    });
}
