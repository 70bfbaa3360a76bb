//! A file system that is full, of bytes or of inodes: an ADD fails with the reason and leaves nothing, a DEL releases,
//! and once there is room again everything works.
//!
//! ```text
//!   node1: /run/podlan is a file system of 2 MiB
//!     ├── db    lives all the while
//!     └── web   comes too late
//! ```

use podlan_conformance::lab::{Error, Lab, within};

/// `fill` leaves no room in /run/podlan; `empty` frees it.
fn is_refused_while_full(options: &str, fill: &str, empty: &str) -> Result<(), Error> {
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    node.shell(&format!("mkdir -p /run/podlan && mount -t tmpfs -o mode=700,{options} tmpfs /run/podlan"))?;
    let (web, db) = (node.pod("web")?, node.pod("db")?);
    node.shell(fill)?;
    let before = node.network()?;
    let refused = web.cni("ADD", "eth0", &node.podnet())?.run()?.complaint()?;
    assert!(refused.text.contains("is the file system full?"), "{refused:?}");
    assert_eq!(node.network()?.since(&before), "");
    web.del(&node.podnet())?;
    node.shell(empty)?;
    let added = db.add(&node.podnet())?;
    node.shell(fill)?;
    db.check(&node.podnet(), &added)?;
    db.del(&node.podnet())?;
    node.shell(empty)?;
    let added = web.add(&node.podnet())?;
    web.check(&node.podnet(), &added)?;
    web.del(&node.podnet())
}

#[test]
fn an_add_on_a_file_system_without_free_bytes_fails_with_its_reason_and_a_del_releases() {
    within(|| {
        let fill = "dd if=/dev/zero of=/run/podlan/fill bs=4096 2>/dev/null; true";
        is_refused_while_full("size=2m", fill, "rm /run/podlan/fill")
    });
}

#[test]
fn an_add_on_a_file_system_without_free_inodes_fails_with_its_reason_and_a_del_releases() {
    within(|| {
        let fill = "number=0; while touch /run/podlan/fill$number; do number=$((number + 1)); done 2>/dev/null; true";
        is_refused_while_full("size=2m,nr_inodes=64", fill, "rm /run/podlan/fill*")
    });
}
