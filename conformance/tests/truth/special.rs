//! What is no row: a fault that only a trace of one port sees, `doctor --fix` without the right to fix, and a node without an
//! agent.

use std::os::unix::net::UnixListener;

use podlan_conformance::agent::metric;
use podlan_conformance::lab::{Error, Lab, binaries, eventually, within};

use crate::prove::is_well;
use crate::row::{At, Surface};
use crate::stage::{Options, SOON, Stage};
use crate::told::{all, brief, says};

const DROP: &str = nft_rule!("inet", "filter hook forward priority 0", "tcp dport 7777 drop");

#[test]
fn a_drop_of_one_port_is_named_by_a_trace_of_that_port_and_of_no_other() {
    within(|| {
        let lab = Lab::new(2)?;
        let stage = Stage::start(&lab, &Options::PLAIN)?;
        let handle = stage.script(At::Node, DROP, "")?;
        stage.all_pass()?;
        let trace = |port: &[&str]| {
            let [one, other] = ["$POD", "$FAR"].map(|name| stage.resolve(name, ""));
            let command = stage.node.command(binaries::find("podlan-node")?).args(["trace", &one, &other, "--json"]);
            command.args(port).run()
        };
        let said = trace(&["--tcp", "7777"])?;
        let told = all(&serde_json::from_str(&said.stdout).unwrap_or_default());
        let names = ["inet x c".to_owned(), format!("handle {handle}")];
        let named = told.iter().any(|one| one.is(&one.kind, &names));
        assert!(named && !said.success(), "it should name {names:?}: {}", brief(&told));
        for port in [&["--tcp", "7778"][..], &["--udp", "7777"], &[]] {
            let said = trace(port)?;
            let told = all(&serde_json::from_str(&said.stdout).unwrap_or_default());
            assert!(told.is_empty() && said.success(), "{port:?}: {}", said.report());
        }
        Ok(())
    });
}

#[test]
fn doctor_fix_without_the_right_to_fix_prints_the_command_that_does_and_not_itself() {
    within(|| {
        let lab = Lab::new(2)?;
        let stage = Stage::start(&lab, &Options::NOT_KEPT)?;
        stage.script(At::Node, "sysctl -qw net.ipv6.conf.all.forwarding=0", "")?;
        // As in the agent's container.
        let read_only = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec \"$0\" \"$@\"";
        let doctor = stage.node.command(binaries::find("podlan-node")?).args(["doctor", "--fix"]);
        let said = doctor.under("unshare", ["-m", "sh", "-ec", read_only]).fails()?;
        assert!(!said.stdout.contains("doctor --fix"), "it recommends itself: {}", said.stdout);
        let json = stage.node.command(binaries::find("podlan-node")?).args(["doctor", "--json"]).fails()?;
        let told = all(&serde_json::from_str(&json.stdout).unwrap_or_default());
        let command = told.iter().find_map(|one| one.command.clone()).unwrap_or_default();
        assert!(said.stdout.contains(&command) && command.contains("sysctl"), "{command:?} of {}", said.stdout);
        stage.script(At::Node, &command, "")?;
        stage.all_pass()
    });
}

#[test]
fn doctor_fix_cures_what_it_offers_to_cure_with_the_agents_own_rights() {
    within(|| {
        let lab = Lab::new(2)?;
        let stage = Stage::start(&lab, &Options::NOT_KEPT)?;
        stage.script(At::Node, "sysctl -qw net.ipv4.ip_forward=0", "")?;
        // As in the agent's container: one capability, and settings that cannot be written.
        let read_only = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
                         exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+net_admin \"$0\" \"$@\"";
        let doctor = stage.node.command(binaries::find("podlan-node")?).args(["doctor", "--fix"]);
        let said = doctor.under("unshare", ["-m", "sh", "-ec", read_only]).run()?;
        assert!(said.stdout.contains("fixed     switched IPv4 forwarding on"), "{}", said.report());
        stage.all_pass()?;
        is_well(&stage, "after the fix")
    });
}

#[test]
fn a_host_that_rebooted_without_its_agent_is_said_to_be_so() {
    within(|| {
        let lab = Lab::new(2)?;
        let stage = Stage::start(&lab, &Options::PLAIN)?;
        // /run is empty after a reboot, and the agent's conflist in /etc is not.
        stage.script(At::Node, "kill -9 $AGENT; rm -r /run/podlan", "")?;
        let folders = ["--cni-conf-dir", "/run/net.d", "--cni-bin-dir", "/run/bin"];
        for (command, more, names) in
            [("status", &[][..], "/run/podlan/node.json"), ("doctor", &folders, "10-podlan.conflist needs one")]
        {
            let said = stage.node.command(binaries::find("podlan-node")?).arg(command).args(more).fails()?;
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains(names), "{command}: {text}");
        }
        Ok(())
    });
}

#[test]
fn a_missing_loopback_plugin_is_named_where_containerd_needs_it_and_nowhere_else() {
    within(|| {
        let lab = Lab::new(2)?;
        let stage = Stage::start(&lab, &Options::PLAIN)?;
        is_well(&stage, "without containerd")?;
        stage.script(At::Node, "mkdir -p /run/containerd", "")?;
        let listens = stage.node.place().enter(|| UnixListener::bind("/run/containerd/containerd.sock"))?;
        let _socket = listens.map_err(Error::system("listen as containerd"))?;
        let names = ["/run/bin/loopback".to_owned()];
        for surface in Surface::ALL {
            eventually(SOON, &format!("{} names the plugin", surface.name()), || {
                says(surface, &stage, "loopback-missing", &names)
            })?;
        }
        stage.script(At::Node, "cp /run/bin/podlan /run/bin/loopback", "")?;
        is_well(&stage, "with the plugin")
    });
}

#[test]
fn what_is_wanted_does_not_shrink_with_the_uplink() {
    within(|| {
        let lab = Lab::new(2)?;
        let stage = Stage::start(&lab, &Options::PLAIN)?;
        let routes = |state: &str| {
            ["ipv4", "ipv6"].map(|family| {
                metric(stage.node, &format!("podlan_node_routes{{family=\"{family}\",state=\"{state}\"}}"))
            })
        };
        let wanted = routes("desired");
        stage.script(At::Node, "ip link set eth0 down", "")?;
        eventually(SOON, "the routes by the uplink are not in", || match (routes("desired"), routes("installed")) {
            (desired, installed) if desired == wanted && installed != wanted => Ok(()),
            other => Err(format!("{other:?} of {wanted:?}")),
        })?;
        stage.script(At::Node, "ip link set eth0 up\nip -6 addr replace fd31::1/64 dev eth0 nodad", "")?;
        stage.all_pass()
    });
}

#[test]
fn a_damage_is_seen_at_the_first_look_of_an_agent_that_starts_with_it() {
    within(|| {
        let lab = Lab::new(2)?;
        let damage = "mkdir -p /run/podlan/podnet && echo damaged > /run/podlan/podnet/store";
        let [node, _] = lab.these();
        node.shell(damage)?;
        let agent = node.agent(&[])?;
        eventually(SOON, "the log names the damaged store", || {
            let log = agent.stderr();
            if log.contains("/run/podlan/podnet/store") { Ok::<(), String>(()) } else { Err(log) }
        })
    });
}
