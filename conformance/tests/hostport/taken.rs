//! A port that another pod has: who is refused, by which code, and when it is free again.

use std::sync::Barrier;
use std::thread;

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Error, Lab, Node, Output, Pod, within};
use serde_json::{Value, json};

use crate::rig::{is_empty, mapping, with_ports};

fn add(pod: &Pod<'_>, config: &Value) -> Result<Output, Error> {
    pod.cni("ADD", "eth0", config)?.run()
}

fn at(node: &Node, ip: &str) -> Value {
    with_ports(node, &json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ip}]))
}

#[test]
fn a_port_that_a_living_pod_has_is_refused_by_a_code_of_its_own_and_names_that_pod() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, other) = (one.pod("web")?, one.pod("other")?);
        let before = one.network()?;
        let everywhere = with_ports(one, &json!([mapping("tcp", 8080)]));
        let mut elsewhere = everywhere.clone();
        elsewhere["name"] = json!("othernet");
        web.add(&everywhere)?;
        let had = (records(one), table(one)?, one.network()?);
        for config in [&everywhere, &at(one, "172.31.0.1"), &elsewhere] {
            let complaint = add(&other, config)?.complaint()?;
            assert_eq!(complaint.code, 106, "{complaint:?}");
            for word in ["host port is taken", "tcp", ":8080", "default/web", "container web", "network podnet"] {
                assert!(complaint.text.contains(word), "{word}: {complaint:?}");
            }
            assert_eq!((records(one), table(one)?), (had.0.clone(), had.1.clone()), "nothing is left of it");
            assert_eq!(one.network()?.since(&had.2), "");
        }
        // Its records lie elsewhere: the kernel knows all the same.
        let mut apart = everywhere.clone();
        apart["ipam"]["dataDir"] = json!("/run/apart");
        apart["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.128/25" }]]);
        let complaint = add(&other, &apart)?.complaint()?;
        assert!(complaint.code == 106 && complaint.text.contains("default/web podnet eth0 web"), "{complaint:?}");
        // Another protocol, and another port, are free.
        other.add(&with_ports(one, &json!([mapping("udp", 8080), mapping("tcp", 8081)])))?;
        other.del(&one.podnet())?;
        web.del(&one.podnet())?;
        // One address each.
        web.add(&at(one, "172.31.0.1"))?;
        other.add(&at(one, "127.0.0.1"))?;
        other.del(&one.podnet())?;
        assert_eq!(add(&other, &everywhere)?.complaint()?.code, 106, "and all of them are not free");
        web.del(&one.podnet())?;
        is_empty(one, "at the end")?;
        assert_eq!(one.network()?.since(&before), "");
        Ok(())
    });
}

#[test]
fn one_host_port_of_a_pod_leads_to_one_port() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let web = one.pod("web")?;
        let mut twice = with_ports(one, &json!([mapping("tcp", 8080), mapping("tcp", 8080)]));
        web.add(&twice)?;
        web.del(&twice)?;
        twice["runtimeConfig"]["portMappings"][1]["containerPort"] = json!(80);
        let complaint = add(&web, &twice)?.complaint()?;
        assert!(complaint.code == 7 && complaint.text.contains("8080"), "{complaint:?}");
        is_empty(one, "after it was refused")
    });
}

#[test]
fn a_port_of_a_pod_that_is_just_ending_is_code_11_and_one_of_a_pod_that_is_gone_is_free() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, other) = (one.pod("web")?, one.pod("other")?);
        let config = with_ports(one, &json!([mapping("tcp", 8080)]));
        let added = web.add(&config)?;
        let link = added.result["interfaces"][0]["name"].as_str().unwrap_or_default().to_owned();
        one.place().remove_link(&link)?;
        let complaint = add(&other, &config)?.complaint()?;
        assert!(complaint.code == 11 && complaint.text.contains("default/web"), "{complaint:?}");
        web.remove()?;
        let at_other = other.add(&config)?;
        assert_eq!(records(one).len(), 1, "the dead pod's was collected");
        assert!(!table(one)?.contains(&added.v4()?.to_string()), "{}", table(one)?);
        assert!(table(one)?.contains(&at_other.v4()?.to_string()));
        // A late DEL of the dead pod takes nothing from the living one.
        web.del(&config)?;
        assert!(table(one)?.contains(&at_other.v4()?.to_string()));
        other.del(&config)?;
        is_empty(one, "at the end")
    });
}

#[test]
fn of_two_pods_that_ask_for_one_port_at_once_one_gets_it() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let config = with_ports(one, &json!([mapping("tcp", 8080), mapping("udp", 8080)]));
        for round in 0..20 {
            let pods = [one.pod(&format!("a{round}"))?, one.pod(&format!("b{round}"))?];
            let (start, config) = (Barrier::new(2), &config);
            let outputs: Vec<Output> = thread::scope(|scope| {
                let run = |pod| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        add(pod, config)
                    })
                };
                let running: Vec<_> = pods.iter().map(run).collect();
                running.into_iter().map(|thread| thread.join().unwrap()).collect::<Result<_, _>>()
            })?;
            assert_eq!(outputs.iter().filter(|output| output.success()).count(), 1, "{outputs:?}");
            let refused = outputs.into_iter().find(|output| !output.success()).unwrap().complaint()?;
            assert!([106, 11].contains(&refused.code), "{refused:?}");
            assert_eq!(records(one).len(), 1);
            for pod in &pods {
                pod.del(config)?;
            }
            is_empty(one, "after both were deleted")?;
        }
        Ok(())
    });
}
