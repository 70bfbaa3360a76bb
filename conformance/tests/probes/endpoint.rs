//! The probe endpoint in the kernel: made with `CAP_NET_ADMIN` alone, put back, and removed without a trace; and the address that
//! no pod gets.

use std::fs;

use podlan_conformance::agent::{has, has_not, state, stop};
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, within};
use serde_json::json;

use crate::rig::{Here, SOON, all_open, becomes};

/// What the kernel has of the endpoint: links, routes, rules, neighbours, the table.
fn traces(node: &Node) -> Result<Vec<String>, Error> {
    let script =
        "ip -o link; ip -4 route show table all; ip -6 route show table all; ip -4 rule; ip -6 rule; nft list tables";
    let text = node.shell(script)?;
    let is_ours = |line: &&str| ["probe", "proto 111", "11110"].iter().any(|word| line.contains(word));
    Ok(text.lines().filter(is_ours).map(str::to_owned).collect())
}

#[test]
fn net_admin_alone_suffices_and_what_others_remove_of_the_endpoint_is_put_back() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let there = Here::start(two, &db, &[])?;
        let at = web.add(&one.podnet())?;
        fs::create_dir_all(one.path("/run/podlan")).map_err(Error::system("make a folder"))?;
        let agent = one
            .command(binaries::find("podlan-node")?)
            .args(["run", "--node-name", one.name(), "--nodes", Lab::NODES_FILE])
            .under("setpriv", ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+net_admin"])
            .under(&binaries::lab()?.display().to_string(), ["read-only", "--but", "/run/podlan", "--"])
            .spawn()?;
        let serves = web.serve()?;
        let here = Here::of(one, &web, at, agent, serves);
        all_open("with one capability", &[&here, &there])?;
        let whole = traces(one)?;
        assert!(whole.len() >= 13, "{whole:#?}");
        for removal in [
            "ip link del podlprobe",
            "ip route del 10.244.1.1/32",
            "ip -4 rule del pref 8; ip -4 rule del pref 8",
            "ip -6 route flush table 1111002",
            "nft delete table inet podlan-probe",
            "ip link set podlprobe down",
        ] {
            one.shell(removal)?;
            eventually(SOON, &format!("put back after `{removal}`"), || match traces(one) {
                Ok(now) if now.len() == whole.len() => Ok(()),
                other => Err(format!("{other:#?}\n{whole:#?}\n{}", here.agent.stderr())),
            })?;
            all_open(removal, &[&here, &there])?;
        }
        Ok(())
    });
}

#[test]
fn the_endpoint_stays_when_the_agent_ends_and_goes_with_probe_off_and_with_cleanup() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, _two] = lab.these();
        assert_eq!(traces(one)?, Vec::<String>::new());
        let start = |options: &[&str]| one.agent(options);
        let agent = start(&[])?;
        eventually(SOON, "the endpoint is there", || has(one, &["link", "podlprobe"]))?;
        stop(agent)?;
        assert!(!traces(one)?.is_empty(), "it stays, so that the path is not lost while an agent is replaced");
        let agent = start(&["--probe", "off"])?;
        eventually(SOON, "it is gone", || has_not(one, &["podlprobe"]))?;
        eventually(SOON, "nothing is left", || match traces(one) {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        eventually(SOON, "the state says so", || match state(one)["paths"]["probed"] == false {
            true => Ok(()),
            false => Err(state(one)["paths"].to_string()),
        })?;
        stop(agent)?;
        let agent = start(&[])?;
        eventually(SOON, "the endpoint is there again", || has(one, &["link", "podlprobe"]))?;
        stop(agent)?;
        let said = one.command(binaries::find("podlan-node")?).arg("cleanup").succeeds()?;
        assert!(said.contains("removed the link podlprobe of the path probes"), "{said}");
        assert_eq!(traces(one)?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn no_pod_gets_the_probe_address_whatever_the_gateway_is_and_one_that_has_it_is_named() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let pool = json!([[{ "subnet": "10.244.1.0/24", "gateway": "10.244.1.254" }]]);
        let config = json!({
            "cniVersion": "1.0.0", "name": "podnet", "type": "podlan", "ipam": { "type": "podlan-ipam", "ranges": pool },
        });
        let at = web.add(&config)?;
        assert_eq!(at.v4()?.to_string(), "10.244.1.2", "not the first address, though it is not the gateway");
        let mut asks = config.clone();
        asks["ipam"]["args"] = json!({});
        asks["args"] = json!({ "cni": { "ips": ["10.244.1.1"] } });
        let refused = one.pod("asks")?.cni("ADD", "eth0", &asks)?.fails()?;
        assert!(refused.stdout.contains("10.244.1.1"), "{}", refused.stdout);

        // A pod of an earlier release has it.
        let held = json!([[{ "subnet": "10.244.1.0/31" }]]);
        let config = json!({
            "cniVersion": "1.0.0", "name": "former", "type": "podlan", "ipam": { "type": "podlan-ipam", "ranges": held },
        });
        let (former, other) = (one.pod("former")?, one.pod("other")?);
        former.add(&config)?;
        let at_other = other.add(&config)?;
        assert_eq!(at_other.v4()?.to_string(), "10.244.1.1");
        let there = Here::start(two, &db, &[])?;
        let serves = web.serve()?;
        let here = Here::of(one, &web, at, one.agent(&[])?, serves);
        becomes("held by a pod", &here, two, &["ipv4"], &["not-probed"])?;
        let why = state(one)["paths"]["notProbed"]["ipv4"].to_string();
        assert!(why.contains("10.244.1.1") && why.contains("other"), "{why}");
        becomes("held by a pod there", &there, one, &["ipv4"], &["not-probed"])?;
        Ok(())
    });
}
