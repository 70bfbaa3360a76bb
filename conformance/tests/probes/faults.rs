//! Every fault of a path, and the verdict on it.

use podlan_conformance::lab::within;

use crate::rig::{FAMILIES, Here, all_open, becomes, lab, on_the_lan};

/// The fabric drops what pods of node2 send.
const DROPS: &str = "nft 'add table bridge fault; \
    add chain bridge fault f { type filter hook forward priority 0; }; \
    add rule bridge fault f ip saddr 10.244.2.0/24 drop; \
    add rule bridge fault f ip6 saddr fd00:10:244:2::/64 drop'";

#[test]
fn a_path_that_passes_is_open_and_one_on_which_the_network_drops_pod_addresses_is_lost_in_that_direction() {
    within(|| {
        let lab = lab(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (here, there) = (Here::start(one, &web, &[])?, Here::start(two, &db, &[])?);
        all_open("at first", &[&here, &there])?;
        on_the_lan(DROPS)?;
        let back = becomes("dropped on the way back", &here, two, &FAMILIES, &["lost-back"])?;
        let there_ = becomes("dropped on the way there", &there, one, &FAMILIES, &["lost-there"])?;
        println!("lost-back after {back:?}, lost-there after {there_:?}");
        on_the_lan("nft delete table bridge fault")?;
        all_open("afterwards", &[&here, &there])?;
        here.reaches(&there)?;
        Ok(())
    });
}
