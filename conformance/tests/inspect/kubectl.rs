//! `kubectl podlan`: what it says of a cluster is what the agents of its nodes say.
//!
//! ```text
//!   node1 (agent) ──┬── lan ──┬── node3 (agent)
//!     └── web       │         └── far
//!                 node2 (agent)
//!                   └── db
//! ```

mod browser;
mod map;
mod rig;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use flate2::read::GzDecoder;
use podlan_conformance::agent::stop;
use podlan_conformance::lab::{Error, Lab, binaries, within};
use rig::{Cluster, Member, drop_one_way, on_the_lan, paths_are};
use serde_json::{Value, json};

fn members<'a>(lab: &'a Lab, pods: [&'a podlan_conformance::lab::Pod<'a>; 3]) -> Result<Vec<Member<'a>>, Error> {
    let nodes: [&podlan_conformance::lab::Node; 3] = lab.these();
    nodes.into_iter().zip(pods).map(|(node, pod)| Member::start(node, pod)).collect()
}

/// The states of the hops of one direction of a trace, with their nodes and places.
fn hops(trace: &Value, way: usize, leg: usize) -> Vec<String> {
    let hops = trace["ways"][way]["legs"][leg]["hops"].as_array();
    let shown =
        |hop: &Value| ["node", "place", "state"].map(|key| hop[key].as_str().unwrap_or("?").to_owned()).join(" ");
    hops.into_iter().flatten().map(shown).collect()
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| Some(item[key].as_str()?.to_owned())).collect()
}

/// Keeps what each node answers, for the unit tests of the crate.
fn record(members: &[Member<'_>]) -> Result<(), Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubectl/src/view/recorded");
    let (web, far) = (members[0].at.v4()?.to_string(), members[2].at.v4()?.to_string());
    for member in members {
        for words in [&["status"][..], &["doctor"], &["leases"], &["trace", &web, &far]] {
            let asked = member.node.command(binaries::find("podlan-node")?).args(words).arg("--json").run()?;
            let file = folder.join(format!("{}-{}.json", words[0], member.node.name()));
            // A node without either pod has no way to show.
            if asked.stdout.is_empty() {
                continue;
            }
            fs::write(file, asked.stdout).map_err(Error::system("write what was answered"))?;
        }
    }
    Ok(())
}

const ALL: [&str; 3] = ["node1", "node2", "node3"];

#[test]
fn each_command_says_of_a_healthy_cluster_what_its_agents_say() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let (web, db, far) = (one.pod("web")?, two.pod("db")?, three.pod("far")?);
        let members = members(&lab, [&web, &db, &far])?;
        let cluster = Cluster::of(&members)?;
        paths_are(&members, &[])?;

        let (status, code) = cluster.json(&["status"])?;
        assert_eq!(names(&status["nodes"], "node"), ALL, "{status}");
        assert_eq!((code, &status["skew"], &status["unreachable"]), (0, &json!(false), &json!([])), "{status}");
        assert_eq!(status["nodes"][2]["state"]["podCIDRs"], json!(three.pod_cidrs().map(|cidr| cidr.to_string())));
        let text = cluster.text(&["status"], 0)?;
        assert!(text.starts_with("nodes     3 of 3 answered\n") && text.contains("ready     3 of 3\n"), "{text}");

        // The doctor of each node, as it came.
        let (doctor, code) = cluster.json(&["doctor"])?;
        let mut own = BTreeSet::new();
        for (place, node) in [one, two, three].into_iter().enumerate() {
            let said = node.command(binaries::find("podlan-node")?).args(["doctor", "--json"]).run()?;
            let said_json: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
            let states = |said: &Value| names(&said["checks"], "state");
            assert_eq!(states(&doctor["nodes"][place]), states(&said_json), "{}", node.name());
            own.insert(said.status.and_then(|status| status.code()).unwrap_or(-1));
        }
        let expected = [1, 2, 0].into_iter().find(|code| own.contains(code));
        assert_eq!(Some(code), expected, "{doctor}");

        let (leases, code) = cluster.json(&["leases"])?;
        assert_eq!(
            (code, names(&leases["leases"], "node")),
            (0, ALL.iter().flat_map(|node| [node.to_string(), node.to_string()]).collect())
        );
        let ips = |member: &Member<'_>| member.at.ips().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&leases["leases"], "address"), members.iter().flat_map(ips).collect::<Vec<_>>());

        let (paths, code) = cluster.json(&["paths"])?;
        assert_eq!((code, &paths["paths"]), (0, &json!([])), "{paths}");
        let text = cluster.text(&["paths"], 0)?;
        assert!(text.contains("1  node1  -     open  open\n"), "{text}");

        // By name, by address, in another namespace, and of one node.
        let (trace, code) = cluster.json(&["trace", "web", "default/far"])?;
        let way = |from: &str, to: &str| {
            let hop = |node: &str, place: &str| format!("{node} {place} ok");
            let near = ["pod", "host-link", "node", "uplink", "path"].map(|place| hop(from, place));
            near.into_iter()
                .chain(["uplink", "node", "host-link", "pod"].map(|place| hop(to, place)))
                .collect::<Vec<_>>()
        };
        for family in 0..2 {
            assert_eq!(hops(&trace, family, 0), way("node1", "node3"), "{trace}");
            assert_eq!(hops(&trace, family, 1), way("node3", "node1"), "{trace}");
            assert_eq!(trace["ways"][family]["addressKept"], "yes");
        }
        assert_eq!(code, 0);
        let text = cluster.text(&["trace", &members[0].at.v4()?.to_string(), "db", "--tcp", "80"], 0)?;
        assert!(text.contains(" between the nodes\n") && text.contains("nothing is wrong on this way"), "{text}");

        let report = Path::new("/run/cluster.tar.gz");
        let (collected, code) = cluster.json(&["report", "--output", "/run/cluster.tar.gz"])?;
        assert_eq!(code, 0, "{collected}");
        let file = fs::File::open(report).map_err(Error::system("open the archive"))?;
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        let entries = archive.entries().map_err(Error::system("read the archive"))?;
        let files: BTreeSet<String> =
            entries.filter_map(|entry| Some(entry.ok()?.path().ok()?.display().to_string())).collect();
        for name in ["index.txt", "nodes.txt", "node1/doctor.json", "node2/leases.json", "node3/status.json"] {
            assert!(files.contains(&format!("podlan-cluster-report/{name}")), "{name} is missing in {files:?}");
        }

        let (smoke, code) = cluster.json(&["smoke", "--no-service"])?;
        assert_eq!((code, &smoke["failures"], &smoke["requests"]), (0, &json!([]), &json!(18)), "{smoke}");
        let deleted = fs::read_to_string(cluster.path("delete")).map_err(Error::system("read what was deleted"))?;
        assert!(deleted.contains("kind: DaemonSet") && deleted.contains("kind: Service"), "{deleted}");

        let (map, code) = cluster.json(&["map"])?;
        assert_eq!((code, &map["segments"]), (0, &json!([[0, 1, 2]])), "{map}");

        // What leads kubectl to the cluster comes before each call.
        let log = fs::read_to_string(cluster.path("log")).map_err(Error::system("read the log"))?;
        assert!(log.lines().all(|line| line.starts_with("--context=lab ")), "{log}");
        Ok(())
    });
}

#[test]
fn a_path_that_is_lost_in_one_direction_and_nodes_that_do_not_answer_are_named_by_each_command() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let (web, db, far) = (one.pod("web")?, two.pod("db")?, three.pod("far")?);
        let mut members = members(&lab, [&web, &db, &far])?;
        let cluster = Cluster::of(&members)?;
        paths_are(&members, &[])?;

        drop_one_way(1, 3)?;
        paths_are(&members, &[("node1", "node3", "lost-there"), ("node3", "node1", "lost-back")])?;
        if std::env::var("PODLAN_GOLDEN").is_ok_and(|word| word == "record") {
            record(&members)?;
        }
        let (paths, code) = cluster.json(&["paths"])?;
        let named: BTreeSet<String> = paths["paths"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|path| ["from", "node", "family", "state"].map(|key| path[key].as_str().unwrap_or("?")).join(" "))
            .collect();
        let expected = [
            "node1 node3 ipv4 lost-there",
            "node1 node3 ipv6 lost-there",
            "node3 node1 ipv4 lost-back",
            "node3 node1 ipv6 lost-back",
        ];
        assert_eq!((code, named), (1, expected.map(str::to_owned).into()), "{paths}");
        assert!(cluster.text(&["paths"], 1)?.contains("1  node1  -          open  LOST-THERE\n"));
        let (trace, code) = cluster.json(&["trace", "web", "far"])?;
        let wrong = |leg| hops(&trace, 0, leg).into_iter().filter(|hop| hop.ends_with(" wrong")).collect::<Vec<_>>();
        assert_eq!((code, wrong(0), wrong(1)), (1, vec!["node1 path wrong".to_owned()], vec![]), "{trace}");
        let (back, _) = cluster.json(&["trace", "far", "web"])?;
        assert!(hops(&back, 0, 1).contains(&"node1 path wrong".to_owned()), "{back}");
        let (smoke, code) = cluster.json(&["smoke", "--no-service"])?;
        let failed = names(&smoke["failures"], "from");
        assert!(code == 1 && failed.iter().all(|from| from == "web" || from == "far") && failed.len() == 4, "{smoke}");
        let (map, code) = cluster.json(&["map"])?;
        assert_eq!((code, names(&map["paths"], "state").len()), (1, 4), "{map}");
        on_the_lan("nft delete table bridge fault")?;
        paths_are(&members, &[])?;

        // A node whose agent has ended, one without a pod of it, and a list of nodes that may not be read.
        let ended = members.pop().map(|member| (member.at, member.agent, member.server));
        let Some((_, agent, _server)) = ended else { return Ok(()) };
        stop(agent)?;
        for (arguments, all) in [(["status"], 3), (["doctor"], 3), (["leases"], 3), (["paths"], 3), (["map"], 3)] {
            let (said, code) = cluster.json(&arguments)?;
            let unreachable = &said["unreachable"];
            assert_eq!(names(unreachable, "node"), ["node3"], "{arguments:?} of {all}: {said}");
            assert!(unreachable[0]["why"].to_string().contains("container not found"), "{said}");
            assert!(code != 0, "{arguments:?}: {said}");
        }
        let (trace, code) = cluster.json(&["trace", "web", "far"])?;
        assert!(code != 0 && hops(&trace, 0, 0).contains(&"node3 node unknown".to_owned()), "{trace}");
        let mut agents = cluster.object("agents.json")?;
        if let Some(list) = agents["items"].as_array_mut() {
            list.pop();
        }
        cluster.put("agents.json", &agents)?;
        let text = cluster.podlan(&["status"])?.stdout;
        assert!(text.contains("NO ANSWER node3: no pod of the agent is on this node\n"), "{text}");
        fs::remove_file(cluster.path("nodes.json")).map_err(Error::system("forbid the list"))?;
        let text = cluster.podlan(&["status"])?.stdout;
        assert!(text.contains("unknown   nodes without an agent") && text.contains("nodes is forbidden"), "{text}");

        // What is no pod, and what is none of podlan's, is said to be so.
        let refused = |pods: [&str; 2], says: &str| -> Result<(), Error> {
            let output = cluster.podlan(&["trace", pods[0], pods[1]])?;
            assert_eq!(output.status.and_then(|status| status.code()), Some(2), "{}", output.report());
            assert!(output.stderr.contains(says), "{says}: {}", output.report());
            Ok(())
        };
        refused(["web", "nobody"], "pods \"nobody\" not found")?;
        refused(["web", "other/db"], "pods \"db\" not found")?;
        refused(["web", "web"], "are the same pod")?;
        refused(["web", "--context=x"], "")?;
        let mut host = cluster.object("pods/default.db.json")?;
        host["spec"]["hostNetwork"] = json!(true);
        cluster.put("pods/default.host.json", &host)?;
        refused(["web", "host"], "it uses the network of its node node2 (hostNetwork)")
    });
}
