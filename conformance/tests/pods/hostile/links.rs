//! Links: what a pod can do to the links of the node and of other pods, and which links DEL and GC treat as a pod's.

use std::fs;

use podlan_conformance::lab::{Command, Error, Lab, Node, Pod, Running, binaries, eventually, within};
use serde_json::{Value, json};

use super::rig::{Attached, Rig, SOON};

/// A pod in a user namespace of its own, where it has every capability.
struct Caged<'node> {
    process: Running,
    at: Attached<'node>,
}

impl<'node> Caged<'node> {
    fn new(node: &'node Node, name: &str) -> Result<Self, Error> {
        let mine = fs::read_link("/proc/self/ns/user").unwrap_or_default();
        let pause = node.command("unshare").args(["--user", "--map-root-user", "--net", "sleep", "600"]);
        let process = pause.spawn()?;
        let its = format!("/proc/{}/", process.id());
        eventually(SOON, "the process is in namespaces of its own", || {
            let asleep = fs::read_to_string(format!("{its}comm")).unwrap_or_default().trim() == "sleep";
            let other = fs::read_link(format!("{its}ns/user")).is_ok_and(|user| user != mine);
            if asleep && other { Ok(()) } else { Err(its.clone()) }
        })?;
        let at = Attached::of(node.pod_of_process(name, process.id())?)?;
        Ok(Self { process, at })
    }

    /// A command as root of the pod.
    fn command(&self, program: &str) -> Command {
        let its = |kind: &str| format!("--{kind}=/proc/{}/ns/{kind}", self.process.id());
        let kinds = [its("user"), its("net"), "--preserve-credentials".to_owned()];
        self.at.pod.node().command(program).under("nsenter", kinds)
    }
}

fn has_link(node: &Node, link: &str) -> Result<bool, Error> {
    Ok(node.command("ip").args(["link", "show", "dev", link]).run()?.success())
}

/// The index of a link of the node, as text.
fn index_of(node: &Node, link: &str) -> Result<String, Error> {
    let said = node.command("ip").args(["-oneline", "link", "show", "dev", link]).succeeds()?;
    let index = said.split_once(':').map(|(index, _)| index.to_owned());
    index.ok_or_else(|| Error::Unreadable { from: "ip link".into(), said })
}

/// The number that a pod has for the namespace of its node: the kernel reports it with the pod's link.
fn number_of_node(said: &str) -> Result<String, Error> {
    let number = said.split_once("link-netnsid ").and_then(|(_, rest)| rest.split_whitespace().next());
    number.map(str::to_owned).ok_or_else(|| Error::Unreadable { from: "ip link".into(), said: said.to_owned() })
}

/// As SECURITY.md says: this pod has `CAP_NET_ADMIN`, and no user namespace of its own.
#[test]
fn net_admin_without_a_user_namespace_removes_other_pods_links_and_with_one_it_does_not() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let caged = Caged::new(node, "caged")?;
        let lab = binaries::lab()?.display().to_string();
        let victim = &rig.victim.link;
        let index = index_of(node, victim)?;

        let number = number_of_node(&caged.command("ip").args(["link", "show", "eth0"]).succeeds()?)?;
        caged.command("ip").args(["link", "add", "own", "type", "bridge"]).succeeds()?;
        let refused = caged.command(&lab).args(["remove-in", &number, &index]).fails()?;
        assert!(refused.stderr.contains("EACCES"), "{}", refused.stderr);
        assert!(has_link(node, victim)?);
        rig.all_is_well()?;

        let thief = &rig.thief.pod;
        let number = number_of_node(&thief.command("ip").args(["link", "show", "eth0"]).succeeds()?)?;
        thief.command(&lab).args(["remove-in", &number, &index]).succeeds()?;
        assert!(!has_link(node, victim)?, "for links it has the powers of the node's root");
        Ok(())
    });
}

/// All that root of a pod can do to its end: rename it, move it to another namespace, put a decoy in its place.
#[test]
fn del_removes_a_hidden_pod_link_and_its_lease_and_nothing_of_other_pods() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let caged = Caged::new(node, "caged")?;
        let nested = caged.command("unshare").args(["--net", "sleep", "600"]).spawn()?;
        eventually(SOON, "a namespace within the pod", || {
            match fs::read_to_string(format!("/proc/{}/comm", nested.id())) {
                Ok(name) if name.trim() == "sleep" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        let ip = |words: &str| caged.command("ip").args(words.split(' ')).succeeds().map(drop);
        ip(&format!("link set eth0 netns {} name hidden", nested.id()))?;
        ip("link add eth0 type veth peer name decoy")?;
        ip(&format!("link set eth0 address {}", caged.at.ends.own.to_string().replace('-', ":")))?;
        ip("link set eth0 alias podlan")?;
        let within_it = |words: &str| {
            let its = format!("--net=/proc/{}/ns/net", nested.id());
            caged.command("nsenter").args([&its, "ip"]).args(words.split(' ')).run()
        };
        assert!(within_it("link show hidden")?.success());

        caged.at.pod.del(&node.podnet())?;
        assert!(!has_link(node, &caged.at.link)?);
        assert!(!within_it("link show hidden")?.success(), "both ends are gone, wherever the pod's end was");
        assert!(caged.command("ip").args(["link", "show", "decoy"]).run()?.success(), "the pod's own link stays");
        for address in caged.at.added.ips() {
            assert_eq!(node.network()?.lines(&["unicast", &format!("{address}")]), Vec::<&str>::new());
        }
        // The address belongs to another pod now, and the former owner cannot send with it.
        rig.all_is_well()
    });
}

fn gc(pod: &Pod<'_>, network: &Value, valid: &[&Attached<'_>]) -> Result<(), Error> {
    let mut config = network.clone();
    config["cniVersion"] = json!("1.1.0");
    let ids = valid.iter().map(|one| json!({ "containerID": one.pod.name(), "ifname": "eth0" }));
    config["cni.dev/valid-attachments"] = ids.collect();
    let gc = pod.cni("GC", "", &config)?.without_env("CNI_CONTAINERID").without_env("CNI_NETNS");
    gc.succeeds().map(drop)
}

/// The group is 31 bits of the hash of the network's name: with two thousand million tries a name with the same group
/// is found.
#[test]
fn gc_of_a_network_with_a_colliding_link_group_removes_no_link_of_the_other() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let mut chosen = node.podnet();
        chosen["name"] = json!("chosen");
        chosen["ipam"]["ranges"] = json!([[{ "subnet": "10.77.0.0/24" }]]);
        let stray = node.pod("stray")?;
        let added = stray.add(&chosen)?;
        let its = added.result["interfaces"][0]["name"].as_str().unwrap_or_default();
        let said = node.command("ip").args(["link", "show", "dev", its]).succeeds()?;
        let group = said.split_once(" group ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
        // As if the name "chosen" had been found so that it has the group of "podnet".
        for one in [&rig.thief, &rig.victim, &rig.target] {
            node.command("ip").args(["link", "set", "dev", &one.link, "group", group]).succeeds()?;
        }
        gc(&stray, &chosen, &[])?;
        assert!(!has_link(node, its)?, "its own links are removed");
        rig.all_is_well()
    });
}

/// Links of other programs that look like podlan's: by name, by group, by a text copied from a pod's link.
#[test]
fn neither_del_nor_gc_removes_a_link_that_only_resembles_a_pods() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let victim = &rig.victim;
        let ip = |words: &[&str]| node.command("ip").args(words).succeeds();
        let said = ip(&["link", "show", "dev", &victim.link])?;
        let after = |word: &str| said.split_once(word).map_or("", |(_, rest)| rest.lines().next().unwrap_or_default());
        let (alias, group) = (after("    alias "), after(" group ").split(' ').next().unwrap_or_default());
        assert!(alias.starts_with("podlan ") && alias.contains("victim"), "{said}");
        let look_alikes = ["podl222222222ab", "podlaaaaaaaaaaa", "renamed"];
        for link in look_alikes {
            ip(&["link", "add", link, "type", "veth", "peer", "name", &format!("p{}", &link[4..])])?;
            ip(&["link", "set", link, "group", group, "alias", alias])?;
        }
        gc(&victim.pod, &node.podnet(), &[&rig.thief, victim, &rig.target])?;
        rig.all_is_well()?;
        victim.pod.del(&node.podnet())?;
        assert!(!has_link(node, &victim.link)?);
        gc(&victim.pod, &node.podnet(), &[&rig.thief, &rig.target])?;
        for link in look_alikes {
            assert!(has_link(node, link)?, "{link} belongs to another program");
        }
        for one in [&rig.thief, &rig.target] {
            assert!(has_link(node, &one.link)?, "{} lives", one.link);
        }
        Ok(())
    });
}
