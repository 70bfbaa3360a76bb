//! STATUS fails exactly when ADD would, on the real kernel: pools full of dead leases, ranges that were edited, stores
//! and directories that cannot be written.
//!
//! ```text
//!   node1, with room for two pods
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Complaint, Error, Lab, Node, Output, Pod, eventually, within};
use serde_json::{Value, json};

fn tight(node: &Node, subnet: &str) -> Value {
    let mut config = node.podnet();
    config["cniVersion"] = json!("1.1.0");
    config["ipam"]["ranges"] = json!([[{ "subnet": subnet }]]);
    config
}

fn status(pod: &Pod<'_>, config: &Value) -> Result<Output, Error> {
    let command = pod.cni("STATUS", "", config)?;
    command.without_env("CNI_CONTAINERID").without_env("CNI_NETNS").without_env("CNI_IFNAME").run()
}

/// STATUS, then ADD: both must have the same verdict, which is returned. A pod that was added is deleted.
fn both(pod: &Pod<'_>, config: &Value) -> Result<Option<Complaint>, Error> {
    let (status, added) = (status(pod, config)?, pod.cni("ADD", "eth0", config)?.run()?);
    if status.success() != added.success() {
        return Err(added.but(&format!("STATUS said: {}", status.stdout)));
    }
    if added.success() {
        pod.del(config)?;
    }
    if status.success() { Ok(None) } else { status.complaint().map(Some) }
}

#[test]
fn status_is_ok_exactly_when_an_add_of_a_pool_with_dead_and_living_pods_is() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = tight(node, "10.244.1.0/30");
        let pods = ["a", "b", "c"].map(|name| node.pod(name));
        let [a, b, c] = pods;
        let (a, b, c) = (a?, b?, c?);
        assert_eq!(both(&c, &config)?, None);
        a.add(&config)?;
        let full = both(&c, &config)?.map(|complaint| (complaint.code, complaint.text.contains("no IP addresses")));
        assert_eq!(full, Some((50, true)));
        // Edited ranges: wider, moved, split around the address in use.
        for subnet in ["10.244.1.0/29", "10.244.1.4/30", "10.244.9.0/30"] {
            assert_eq!(both(&c, &tight(node, subnet))?, None, "{subnet}");
        }
        // A dead pod: its namespace and its link are gone, without a DEL.
        b.add(&tight(node, "10.244.1.4/30"))?;
        assert!(both(&c, &tight(node, "10.244.1.4/30"))?.is_some());
        b.remove()?;
        a.remove()?;
        let before = std::fs::read(node.path("/run/podlan/podnet/store")).unwrap_or_default();
        // A link takes a moment to disappear with its namespace.
        for config in [&config, &tight(node, "10.244.1.4/30")] {
            eventually(Duration::from_secs(10), "STATUS is ok once the pod is gone", || {
                let said = status(&c, config).map_err(|error| error.to_string())?;
                if said.success() { Ok(()) } else { Err(said.stdout) }
            })?;
        }
        assert_eq!(std::fs::read(node.path("/run/podlan/podnet/store")).unwrap_or_default(), before, "STATUS wrote");
        assert_eq!(both(&c, &config)?, None);
        assert_eq!(both(&c, &tight(node, "10.244.1.4/30"))?, None);
        Ok(())
    });
}

#[test]
fn status_is_ok_exactly_when_the_store_can_be_written() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let config = tight(node, "10.244.1.0/24");
        let web = node.pod("web")?;
        let shell = |script: &str| node.command("sh").args(["-c", script]).succeeds();
        let cases = [
            ("no directory", "rm -rf /run/podlan", "true"),
            (
                "a read-only file system",
                "mkdir -p /run/podlan && mount -t tmpfs -o ro tmpfs /run/podlan",
                "umount /run/podlan",
            ),
            (
                "a full file system, no store",
                "mount -t tmpfs -o size=64k tmpfs /run/podlan; dd if=/dev/zero of=/run/podlan/fill 2>/dev/null; true",
                "umount /run/podlan",
            ),
            ("a file in place of the directory", "rm -rf /run/podlan && touch /run/podlan", "rm /run/podlan"),
            ("a lock that is a directory", "mkdir -p /run/podlan/podnet/lock", "rm -r /run/podlan"),
            (
                "a lock that is a symlink",
                "mkdir -p /run/podlan/podnet && ln -s /etc/hostname /run/podlan/podnet/lock",
                "rm -r /run/podlan",
            ),
            (
                "a store that is a fifo",
                "mkdir -p /run/podlan/podnet && mkfifo /run/podlan/podnet/store",
                "rm -r /run/podlan",
            ),
            ("nothing wrong", "true", "true"),
        ];
        for (name, make, undo) in cases {
            shell(make)?;
            let complaint = both(&web, &config)?;
            assert_eq!(complaint.is_none(), matches!(name, "no directory" | "nothing wrong"), "{name}: {complaint:?}");
            assert!(complaint.is_none_or(|complaint| complaint.code == 50), "{name}");
            shell(undo)?;
        }
        Ok(())
    });
}
