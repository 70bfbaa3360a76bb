//! DEL of a pod that another plugin made and whose address podlan adopted: in a namespace that still exists, it removes
//! the link to which the address leads, and no other.
//!
//! ```text
//!   node1
//!     ├── veth0 ─ web   as ptp makes it, leased by host-local, taken over by podlan-node adopt host-local
//!     └── veth1 ─ db    the same, but its address leads elsewhere by now: the lease has its name only
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs;

use podlan_conformance::lab::{Error, Lab, Node, Pod, binaries, within};
use serde_json::json;

const THEIRS: &str = "/var/lib/cni/networks/podnet";
const RESULTS: &str = "/var/lib/cni/results";

/// A pod with a link, and what libcni and host-local keep of it.
fn made_by_ptp<'lab>(node: &'lab Node, name: &str, host_end: &str, address: &str) -> Result<Pod<'lab>, Error> {
    let pod = node.pod(name)?;
    let netns = pod.netns().to_str().unwrap();
    for words in
        [format!("link add {host_end} type veth peer name eth0 netns {netns}"), format!("link set {host_end} up")]
    {
        node.command("ip").args(words.split(' ')).succeeds()?;
    }
    pod.command("ip").args(["link", "set", "eth0", "up"]).succeeds()?;
    let interfaces = json!([{ "name": host_end }, { "name": "eth0", "sandbox": netns }]);
    let record = json!({
        "kind": "cniCacheV1", "containerId": name, "ifName": "eth0", "networkName": "podnet",
        "result": { "interfaces": interfaces },
    });
    let keep = || {
        for folder in [THEIRS, RESULTS] {
            fs::create_dir_all(folder)?;
        }
        fs::write(format!("{THEIRS}/{address}"), format!("{name}\r\neth0"))?;
        fs::write(format!("{RESULTS}/podnet-{name}-eth0"), record.to_string())
    };
    node.place().enter(keep)?.unwrap();
    Ok(pod)
}

fn adopt(node: &Node, cidr: &str) -> Result<String, Error> {
    node.command(binaries::find("podlan-node")?).args(["adopt", "host-local", THEIRS, "--cidr", cidr]).succeeds()
}

fn has_link(node: &Node, name: &str) -> Result<bool, Error> {
    Ok(node.command("ip").args(["link", "show", name]).run()?.success())
}

#[test]
fn del_removes_the_link_to_which_an_adopted_address_leads_and_no_other() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = made_by_ptp(node, "web", "veth0", "10.244.1.7")?;
        let db = made_by_ptp(node, "db", "veth1", "10.244.1.8")?;
        for address in ["10.244.1.7/32", "10.244.1.8/32"] {
            node.command("ip").args(["route", "add", address, "dev", "veth0"]).succeeds()?;
        }
        let said = adopt(node, "10.244.1.0/24")?;
        assert!(said.contains("2 adopted"), "{said}");

        db.del(&node.podnet())?;
        assert!(has_link(node, "veth0")? && has_link(node, "veth1")?, "its address leads to another's link");
        web.del(&node.podnet())?;
        assert!(!has_link(node, "veth0")?, "its namespace lives, its link does not");
        assert!(has_link(node, "veth1")?);
        assert!(!web.command("ip").args(["link", "show", "eth0"]).run()?.success());
        let leases = node.command(binaries::find("podlan-node")?).args(["leases", "--json"]).succeeds()?;
        assert!(!leases.contains("10.244.1."), "{leases}");
        Ok(())
    });
}
