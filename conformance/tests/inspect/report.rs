//! `podlan-node report`: everything of a node in one archive, no secret in it, and each missing piece named.
//!
//! ```text
//!   node1 (agent; /run/net.d with another plugin's configuration that holds a token)
//!     └── web
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use flate2::read::GzDecoder;
use podlan_conformance::agent::stop;
use podlan_conformance::lab::{Error, Lab, Node, binaries, within};

use super::doctor::rig::Rig;

/// The files of the archive that the node writes, by their names below its one directory.
fn report(node: &Node, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let output = format!("/run/{name}");
    node.command(binaries::find("podlan-node")?).args(["report", "--output", &output]).succeeds()?;
    let file = fs::File::open(node.path(&output)).map_err(Error::system("open the archive"))?;
    let mode = file.metadata().map_err(Error::system("look at the archive"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others must not read it");
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(Error::system("read the archive"))? {
        let mut entry = entry.map_err(Error::system("read the archive"))?;
        let path = entry.path().map_err(Error::system("read a name"))?.display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(Error::system("read a file"))?;
        let name = path.strip_prefix("podlan-report/").unwrap_or("(outside of the directory)");
        files.insert(name.to_owned(), text);
    }
    Ok(files)
}

/// The pieces that the index says are missing.
fn missing(files: &BTreeMap<String, String>) -> Vec<&str> {
    let index = files["index.txt"].lines().filter(|line| line.contains(": MISSING: "));
    index.filter_map(|line| line.split(':').next()).collect()
}

#[test]
fn a_report_has_all_of_a_node_and_no_secret_and_without_an_agent_it_names_what_is_missing() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, _two] = lab.these();
        let web = one.pod("web")?;
        let rig = Rig::start(one, &web)?;
        rig.put(
            "net.d/99-other.conflist",
            r#"{"name":"other","plugins":[{"type":"other","etcd_token":"planted-1","kubernetes":{"kubeconfig":
            "/etc/planted-2"},"url":"https://user:planted-3@etcd:2379/kept"}]}"#,
        )?;
        rig.put("net.d/98-broken.conflist", "token: planted-4")?;
        let files = report(one, "one.tar.gz")?;
        let all: String = files.iter().map(|(name, text)| format!("== {name}\n{text}\n")).collect();
        assert!(!all.contains("planted"), "a secret is in the archive:\n{all}");
        for (name, word) in [
            ("versions.txt", "podlan-node 0."),
            ("kernel.txt", "net/ipv4/ip_forward = 1"),
            ("doctor.json", "\"check\": \"routes\""),
            ("status.json", "\"node\": \"node1\""),
            ("links.txt", "eth0: up"),
            ("addresses.txt", "172.31.0.1/24 dev eth0"),
            ("routes.txt", "10.244.2.0/24 via 172.31.0.2 dev eth0 metric 110 proto podlan-node"),
            ("leases.json", "default/web"),
            ("log.txt", "podlan-node starts"),
            ("metrics.txt", "podlan_node_ready 1"),
            ("net.d/10-podlan.conflist", "podlan-ipam"),
            ("net.d/99-other.conflist", "etcd:2379/kept"),
        ] {
            assert!(files.get(name).is_some_and(|text| text.contains(word)), "{word:?} is not in {name}:\n{all}");
        }
        let programs = ["rules.txt", "neighbours.txt", "nftables.txt"];
        let lacking: Vec<&str> = missing(&files).into_iter().filter(|name| !programs.contains(name)).collect();
        assert_eq!(lacking, ["net.d/98-broken.conflist"], "{}", files["index.txt"]);
        let again = one.command(binaries::find("podlan-node")?).args(["report", "--output", "/run/one.tar.gz"]);
        assert!(again.fails()?.stderr.contains("exists"), "a file that is there is not written over");

        stop(rig.agent)?;
        let files = report(one, "two.tar.gz")?;
        let lacking: Vec<&str> = missing(&files).into_iter().filter(|name| !programs.contains(name)).collect();
        assert_eq!(lacking, ["log.txt", "metrics.txt", "net.d/98-broken.conflist"], "{}", files["index.txt"]);
        assert!(files["index.txt"].contains("no agent answers"), "{}", files["index.txt"]);
        Ok(())
    });
}
