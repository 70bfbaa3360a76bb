//! The runtime's configuration and plugins.

use crate::row::{Cure, Fault, Row};

rows! {
    the_conflist_is_deleted: Row {
        broken: "the network configuration is deleted",
        fault: Fault::on_node("rm /run/net.d/10-podlan.conflist", ""),
        kind: "conflist-missing",
        names: &["/run/net.d/10-podlan.conflist"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    the_plugin_is_deleted: Row {
        broken: "the plugin is deleted",
        fault: Fault::on_node("rm /run/bin/podlan", ""),
        kind: "plugin-missing",
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
    the_plugin_is_another: Row {
        broken: "the plugin is of another version than the agent",
        fault: Fault::on_node("cp /run/bin/podlan /run/bin/new; echo >> /run/bin/new; mv /run/bin/new /run/bin/podlan", ""),
        kind: "plugin-version",
        names: &["/run/bin/podlan"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    a_plugin_is_not_executable: Row {
        broken: "such a plugin is there, and cannot be executed",
        fault: Fault::on_node(
            r#"touch /run/bin/static
            echo '{"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"podlan","ipam":{"type":"static"}}]}' > /run/net.d/50-mine.conflist"#,
            "rm /run/net.d/50-mine.conflist /run/bin/static",
        ),
        kind: "plugin-not-executable",
        names: &["/run/bin/static"],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_conflist_cannot_be_read: Row {
        broken: "a pipe lies among the network configurations",
        fault: Fault::on_node("mkfifo /run/net.d/70-pipe.conf", "rm /run/net.d/70-pipe.conf"),
        kind: "conflist-unreadable",
        names: &["70-pipe.conf"],
        ..Row::PLAIN
    };
    a_network_is_configured_twice: Row {
        broken: "two files configure one network",
        fault: Fault::on_node("cp /run/net.d/10-podlan.conflist /run/net.d/60-again.conflist", "rm /run/net.d/60-again.conflist"),
        kind: "conflist-twice",
        names: &["10-podlan.conflist", "60-again.conflist"],
        ..Row::PLAIN
    };
}
