//! A kernel before 4.20 (`NETLINK_GET_STRICT_CHK` is refused) selects no objects of a dump: the programs do it themselves.
//!
//! ```text
//!   node1 (agent) ───── node2
//!     ├── web
//!     └── db            routes of podlan's protocols in another table
//! ```

use podlan_conformance::agent::state;
use podlan_conformance::lab::{Error, Lab, Node, within};
use serde_json::json;

use super::rig::{Rig, wrong};

/// Routes of another table, which decide on no packet of a pod: pods inherit no MTU from the first one's link, and the others
/// are not those to node2.
const BESIDE: &str = "
    set -e
    ip link add small mtu 1300 type veth peer name large
    ip link set small up
    ip route add 192.0.2.0/24 dev small table 100 proto kernel
    ip route add 10.244.2.128/25 via 172.31.0.2 table 100 proto static
    ip route add 10.244.2.0/24 via 172.31.0.2 table 100 proto 110 metric 110
    ip -6 route add fd00:10:244:2::/64 via fd31::2 table 100 proto 110 metric 110";

/// The pod has a default route, and none by eth0.
const BY_ANOTHER_LINK: &str = "
    ip link add other type veth peer name far
    ip link set other up
    ip route del default
    ip route add default via 192.0.2.1 dev other onlink";

fn beside(node: &Node) -> Result<String, Error> {
    node.shell("ip route show table 100; ip -6 route show table 100")
}

#[test]
fn check_gc_the_agent_status_and_doctor_work_where_the_kernel_selects_no_objects_of_a_dump() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        one.shell(BESIDE)?;
        let (rig, before) = (Rig::new(one, "strict-checking"), beside(one)?);
        let (web, db, podnet) = (one.pod("web")?, one.pod("db")?, one.podnet());

        let at_web = rig.add(&web, &podnet)?;
        let at_db = rig.add(&db, &podnet)?;
        for (pod, at) in [(&web, &at_web), (&db, &at_db)] {
            let checked = rig.check(pod, &podnet, at)?;
            assert!(checked.success(), "{}", checked.report());
        }
        let network = web.network()?;
        assert_eq!(network.lines(&["link", "eth0", "mtu", "1500"]).len(), 1, "{network}");
        db.command("sh").args(["-ec", BY_ANOTHER_LINK]).succeeds()?;
        let said = rig.check(&db, &podnet, &at_db)?.complaint()?;
        assert!(said.text.contains("default") || said.text.contains("0.0.0.0/0"), "CHECK sees what is lost: {said:?}");

        let agent = rig.agent(&["--masquerade"])?;
        let in_main = one.shell("ip route show proto 110; ip -6 route show proto 110")?;
        assert!(
            two.pod_cidrs().iter().all(|cidr| in_main.contains(&cidr.to_string())),
            "{in_main}\n{}",
            agent.stderr()
        );
        let status = rig.ask(&["status"])?;
        assert!(status.success(), "{}", status.report());
        let found = rig.doctor()?.to_string();
        assert!(found.contains("pod-default-route-lost"), "{found}");
        rig.collect(&web, &podnet, &[&web])?;
        assert!(!db.network()?.to_string().contains("eth0"), "GC removes what is not listed");
        let checked = rig.check(&web, &podnet, &at_web)?;
        assert!(checked.success(), "{}", checked.report());

        let said = rig.doctor()?;
        let wrong = wrong(&said);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(state(one)["warnings"], json!([]), "{}", agent.stderr());
        assert_eq!(beside(one)?, before, "what is not podlan's stays: {}", agent.stderr());
        Ok(())
    });
}
