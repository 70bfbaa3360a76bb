//! Pods of one node, and the node itself, reach each other at their own addresses.
//!
//! ```text
//!   node1 172.31.0.1, fd31::1
//!     ├── web 10.244.1.x, fd00:10:244:1::x
//!     └── db  10.244.1.y, fd00:10:244:1::y
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Lab, patient, within};

#[test]
fn a_pod_reaches_another_pod_of_its_node_and_is_seen_at_its_own_address() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        let (at_web, at_db) = (web.add(&node.podnet())?, db.add(&node.podnet())?);
        let _servers = [web.serve()?, db.serve()?];
        web.reaches(&at_web, &at_db.ips())?;
        db.reaches(&at_db, &at_web.ips())?;
        web.reaches(&at_web, &at_web.ips())
    });
}

#[test]
fn a_pod_and_its_node_see_each_other_at_their_own_addresses() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        let at_web = web.add(&node.podnet())?;
        let _servers = [web.serve()?, node.serve()?];
        web.reaches(&at_web, &node.ips())?;
        node.reaches(&at_web.ips())
    });
}

#[test]
fn a_pod_answers_at_once_with_no_wait_for_duplicate_address_detection() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        let config = node.podnet();
        let add = web.cni("ADD", "eth0", &config)?.run()?;
        assert!(add.success(), "{}", add.report());
        // Duplicate address detection takes a second or more.
        assert!(add.took < patient(Duration::from_millis(500)), "ADD took {:?}", add.took);
        let lines = web.network()?;
        assert_eq!(lines.lines(&["address", "dev", "eth0", "universe"]).len(), 2, "{lines}");
        Ok(())
    });
}
