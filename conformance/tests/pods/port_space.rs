//! The containers of a pod share one loopback and one port space; another pod has its own.
//!
//! ```text
//!   node1
//!     ├── web: two processes, one network namespace
//!     └── db:  the same port, free
//! ```

use podlan_conformance::lab::{Lab, PORT, every, within};

const LOCALHOST: [&str; 2] = ["127.0.0.1", "::1"];

#[test]
fn two_processes_of_a_pod_reach_each_other_on_localhost() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        web.add(&node.podnet())?;
        let _first_container = web.serve()?;
        let localhost: Vec<_> = LOCALHOST.iter().filter_map(|text| text.parse().ok()).collect();
        let second_container = web.lab(&["probe"])?.args(every(&localhost).iter().map(ToString::to_string));
        let said = second_container.succeeds()?;
        assert_eq!(
            said.lines().filter(|line| line.ends_with(" saw 127.0.0.1") || line.ends_with(" saw ::1")).count(),
            6,
            "{said}"
        );
        Ok(())
    });
}

#[test]
fn a_port_can_be_bound_once_in_a_pod_and_again_in_another_pod() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        web.add(&node.podnet())?;
        db.add(&node.podnet())?;
        let _first_container = web.serve()?;
        for at in ["tcp=0.0.0.0", "udp=0.0.0.0", "tcp=::", "udp=::"] {
            let bind = ["bind", at, &PORT.to_string()];
            let second = web.lab(&bind)?.fails()?;
            assert!(second.stderr.contains("Address in use"), "{}", second.report());
            db.lab(&bind)?.succeeds()?;
            node.command(podlan_conformance::lab::binaries::lab()?).args(bind).succeeds()?;
        }
        Ok(())
    });
}
