//! The runtime's configuration and plugins.

use crate::row::{Cure, Fault, Row};

rows! {
    the_conflist_is_deleted: Row {
        broken: "the network configuration is deleted",
        fault: Fault::on_node("rm /run/net.d/10-podlan.conflist", ""),
        names: &["/run/net.d/10-podlan.conflist"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    the_plugin_is_deleted: Row {
        broken: "the plugin is deleted",
        fault: Fault::on_node("rm /run/bin/podlan", ""),
        names: &["/run/bin/podlan"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    another_conflist_is_first: Row {
        broken: "another program's configuration comes before podlan's, and is not Multus'",
        fault: Fault::on_node(
            r#"echo '{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"bridge"}]}' > /run/net.d/05-other.conflist"#,
            "rm /run/net.d/05-other.conflist",
        ),
        kind: "conflist-not-first",
        names: &["05-other.conflist"],
        ..Row::PLAIN
    };
    a_plugin_is_missing: Row {
        broken: "a plugin that a configuration of podlan's names is missing",
        fault: Fault::on_node(
            r#"echo '{"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"podlan","ipam":{"type":"static"}}]}' > /run/net.d/50-mine.conflist"#,
            "rm /run/net.d/50-mine.conflist",
        ),
        kind: "plugin-missing",
        names: &["/run/bin/static"],
        ..Row::PLAIN
    };
}
