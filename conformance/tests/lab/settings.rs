//! The settings of a distribution reach every link of a node, also those that appear later.

use std::time::Duration;

use podlan_conformance::lab::{Lab, eventually, within};

const SETTINGS: &str = "net.ipv4.conf.default.rp_filter = 0
net.ipv4.conf.*.rp_filter = 1
-net.ipv4.conf.all.rp_filter
net.ipv4.conf.late.rp_filter = 2
kernel.panic = 1
net.ipv4.no_such_setting = 1
";

#[test]
fn settings_are_applied_at_once_and_to_links_that_appear_later() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let value = |link: &str| node.sysctl(&format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"));
        let all = value("all")?;
        node.apply_settings(SETTINGS)?;
        assert_eq!((value("eth0")?.as_str(), value("default")?.as_str(), value("all")?), ("1", "0", all));
        for (link, expected) in [("early", "1"), ("late", "2")] {
            node.place().occupy(link)?;
            eventually(Duration::from_secs(10), &format!("{link} has {expected}"), || {
                value(link)
                    .map_err(|error| error.to_string())
                    .and_then(|now| if now == expected { Ok(()) } else { Err(now) })
            })?;
        }
        Ok(())
    });
}
