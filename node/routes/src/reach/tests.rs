//! Which answers hang on which events; the table of the answers themselves is the planner's.

use super::*;

fn way(prefix: u8, table: u32) -> Way {
    Way { reach: Reach::OnLink { link: 2 }, table, prefix, by_object: false, doubtful: false }
}

#[test]
fn an_answer_hangs_on_routes_of_its_prefix_or_a_longer_one_and_on_those_of_other_tables() {
    let to = |text: &str| text.parse::<IpNetwork>().unwrap();
    assert!(way(24, MAIN).hangs_on(to("10.0.0.0/24"), MAIN), "the same destination with another metric");
    assert!(way(24, MAIN).hangs_on(to("10.0.0.7/32"), MAIN));
    assert!(!way(24, MAIN).hangs_on(to("0.0.0.0/0"), MAIN), "a longer prefix wins");
    assert!(way(24, MAIN).hangs_on(to("0.0.0.0/0"), 100), "a rule may lead there first");
    assert!(way(24, 100).hangs_on(to("0.0.0.0/0"), MAIN));
    let nowhere = Way::of(
        to("10.0.0.7/32").ip(),
        &Err(KernelError { errno: Errno::ENETUNREACH, text: String::new() }),
        &Here::default(),
    );
    assert!(nowhere.hangs_on(to("0.0.0.0/0"), MAIN), "any route may lead there");
}
