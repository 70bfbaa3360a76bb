//! The lease store and the directory that it lies in.

use std::time::Duration;

use crate::row::{Fault, Row, Surface};
use crate::stage::Options;

/// Calls the plugin for the pod `m1`, by a program.
macro_rules! plugin {
    ($verb:literal, $by:literal) => {
        concat!(
            r#"echo '{"cniVersion":"1.0.0","name":"podnet","type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}],[{"subnet":"fd00:10:244:1::/64"}]]}}' | "#,
            "CNI_COMMAND=",
            $verb,
            " CNI_CONTAINERID=m1 CNI_NETNS=/run/netns/m1 CNI_IFNAME=eth0 CNI_PATH=$PLUGINS ",
            $by,
            " $PLUGINS/podlan"
        )
    };
}

rows! {
    the_store_is_locked: Row {
        broken: "a process that hangs holds the store's lock",
        fault: Fault::on_node(
            "flock --no-fork -x /run/podlan/podnet/lock sleep 1000 >/dev/null 2>&1 &\necho $!",
            "kill $ID",
        ),
        kind: "store-locked",
        names: &["/run/podlan/podnet/lock", "$ID"],
        within: Duration::from_secs(15),
        ..Row::PLAIN
    };
    the_store_is_damaged: Row {
        broken: "the store is damaged: no pod can start",
        fault: Fault::on_node(
            "cp -p /run/podlan/podnet/store /run/store.good\nhead -c 4096 /dev/zero | tr '\\0' x | dd of=/run/podlan/podnet/store conv=notrunc 2>/dev/null",
            "cp -p /run/store.good /run/podlan/podnet/store",
        ),
        kind: "store-unreadable",
        names: &["/run/podlan/podnet/store"],
        ..Row::PLAIN
    };
    the_disk_is_full: Row {
        broken: "the file system of /run/podlan is full",
        options: Options { before: "mkdir -p /run/podlan\nmount -t tmpfs -o size=1m tmpfs /run/podlan", ..Options::PLAIN },
        fault: Fault::on_node("cat /dev/zero > /run/podlan/fill 2>/dev/null || true", "rm /run/podlan/fill"),
        kind: "disk-full",
        names: &["/run/podlan"],
        not_by: &[Surface::NodeJson],
        ..Row::PLAIN
    };
    the_disk_is_nearly_full: Row {
        broken: "the file system of /run/podlan is nearly full",
        options: Options { before: "mkdir -p /run/podlan\nmount -t tmpfs -o size=8m tmpfs /run/podlan", ..Options::PLAIN },
        fault: Fault::on_node(
            "head -c $(($(stat -f -c '%a * %S' /run/podlan) - 400000)) /dev/zero > /run/podlan/fill",
            "rm /run/podlan/fill",
        ),
        kind: "disk-nearly-full",
        names: &["/run/podlan"],
        ..Row::PLAIN
    };
    a_lease_of_the_future: Row {
        broken: "a plugin ran in another time namespace: its lease has a time in the future",
        fault: Fault::on_node(
            concat!(
                "touch /run/netns/m1; unshare --net=/run/netns/m1 true\n",
                plugin!("ADD", "unshare -T -f --boottime 1000000"),
                " > /dev/null"
            ),
            concat!(plugin!("DEL", "env"), "\numount -l /run/netns/m1; rm /run/netns/m1"),
        ),
        kind: "store-clock",
        names: &["podnet"],
        within: Duration::from_secs(10),
        ..Row::PLAIN
    };
}
