//! What another program does to a node, found by the check that is meant for it and by no other, and the command that is
//! printed for it, run as printed: the node is well again.

use std::fs::{self, File};
use std::time::Duration;

use nix::sys::signal::Signal;
use podlan_conformance::lab::{Error, Lab, eventually, skip, within};
use serde_json::Value;

use super::rig::{Rig, SOON, red};

/// A fault, the check that finds it, what it must name, and the script that undoes it where no command is printed.
struct Row {
    fault: &'static str,
    check: &'static str,
    words: &'static [&'static str],
    undo: &'static str,
}

const CURED: [Row; 7] = [
    Row {
        fault: "ip rule add from 172.31.0.1 lookup 100 pref 50; ip route add default via 172.31.0.254 dev eth0 table 100",
        check: "policy-rules",
        words: &["50: from 172.31.0.1 lookup 100", "default/web", "node2", "dev eth0 table 100"],
        undo: "ip rule del pref 50; ip rule del pref 49; ip rule del pref 49",
    },
    Row {
        fault: "ip rule add to 10.244.2.0/24 prohibit pref 7",
        check: "policy-rules",
        words: &["7: from all to 10.244.2.0/24 prohibit", "node2", "nowhere"],
        undo: "ip rule del pref 7; ip rule del pref 6",
    },
    Row {
        fault: "ip route add blackhole 10.244.2.7/32",
        check: "foreign-routes",
        words: &["blackhole 10.244.2.7/32", "the pod subnet of node2"],
        undo: "",
    },
    Row {
        fault: "ip route del $WEB",
        check: "pods",
        words: &["default/web", "$WEB", "proto 112 scope global"],
        undo: "",
    },
    Row { fault: "ip link set $LINK down", check: "pods", words: &["$LINK", "default/web", "is down"], undo: "" },
    Row {
        fault: "nsenter --net=$NETNS ip addr del $WEB/32 dev eth0",
        check: "pods",
        words: &["eth0 of default/web", "lost its address $WEB"],
        undo: "",
    },
    Row {
        fault: "nsenter --net=$NETNS ip route del default",
        check: "pods",
        words: &["eth0 of default/web", "route by the gateway, 169.254.1.1"],
        undo: "",
    },
];

/// Rules of another program, which a person must change: the chain and the rule are named.
const NAMED: [Row; 6] = [
    Row {
        fault: "ip x { chain c { type filter hook prerouting priority raw; iifname \"podl*\" ip daddr 10.244.2.0/24 drop; } }",
        check: "forward-policy",
        words: &["ip x c (hook prerouting)", "handle 2"],
        undo: "nft delete table ip x",
    },
    Row {
        fault: "inet x { chain c { type filter hook prerouting priority mangle; jump d; } chain d { ip daddr 10.244.2.0/24 drop; } }",
        check: "forward-policy",
        words: &["inet x c (hook prerouting)", "of the chain d, to which it jumps"],
        undo: "nft delete table inet x",
    },
    Row {
        fault: "inet x { chain c { type filter hook postrouting priority 0; ip saddr 10.244.0.0/16 oif eth0 drop; } }",
        check: "forward-policy",
        words: &["inet x c (hook postrouting)", "handle"],
        undo: "nft delete table inet x",
    },
    Row {
        fault: "netdev x { chain c { type filter hook ingress device eth0 priority 0; ip saddr 10.244.0.0/16 drop; } }",
        check: "forward-policy",
        words: &["netdev x c (hook ingress)"],
        undo: "nft delete table netdev x",
    },
    Row {
        fault: "ip x { chain c { type nat hook postrouting priority 100; oifname eth0 ip saddr 10.244.0.0/16 masquerade; } }",
        check: "translation",
        words: &["another source address in ip x c", "handle 2"],
        undo: "nft delete table ip x",
    },
    Row {
        fault: "ip x { chain c { type nat hook prerouting priority -100; ip daddr 10.244.2.0/24 dnat to 192.0.2.1; } }",
        check: "translation",
        words: &["another destination address in ip x c"],
        undo: "nft delete table ip x",
    },
];

#[test]
fn each_fault_is_found_by_its_own_check_and_its_command_run_as_printed_makes_the_node_well() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, _two] = lab.these();
        let web = one.pod("web")?;
        let rig = Rig::start(one, &web)?;
        let says =
            Says { address: rig.pod_address()?, link: rig.pod_link()?, netns: web.netns().display().to_string() };
        if one.shell("command -v ip && command -v nsenter").is_err() {
            skip("ip or nsenter is missing (Debian: apt-get install iproute2 util-linux)");
            return Ok(());
        }
        let _server = web.serve()?;
        for row in &CURED {
            one.shell(&says.fill(row.fault))?;
            let command = rig.named(row, &says)?;
            let Some(command) = command else { panic!("no command for {}", row.fault) };
            one.shell(&command)?;
            rig.is_well()?;
            one.shell(row.undo)?;
            rig.is_well()?;
            // Packets pass, not only words.
            one.reaches(&[says.ip()])?;
        }
        if !rig.nft("list tables")? {
            return Ok(());
        }
        for row in &NAMED {
            one.shell(&format!("nft -f - <<'X'\ntable {}\nX", row.fault.replace("} ", "}\n")))?;
            let command = rig.named(row, &says)?;
            assert_eq!(command, None, "a rule of another program is not removed by a printed command");
            one.shell(row.undo)?;
            rig.is_well()?;
        }
        Ok(())
    });
}

/// What is known only in the lab.
struct Says {
    address: String,
    link: String,
    netns: String,
}

impl Says {
    fn ip(&self) -> std::net::IpAddr {
        self.address.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into())
    }

    fn fill(&self, text: &str) -> String {
        text.replace("$WEB", &self.address).replace("$LINK", &self.link).replace("$NETNS", &self.netns)
    }
}

impl Rig<'_> {
    /// The row's check is red and no other, and names what it must; the command that it prints.
    fn named(&self, row: &Row, says: &Says) -> Result<Option<String>, Error> {
        let said = eventually(SOON, row.fault, || {
            let said = self.doctor(&[]).map_err(|error| error.to_string())?;
            if red(&said) == [row.check] { Ok(said) } else { Err(said.to_string()) }
        })?;
        let checks = said["checks"].as_array().into_iter().flatten();
        let problems: Vec<&Value> =
            checks.flat_map(|check| check["problems"].as_array().into_iter().flatten()).collect();
        let text = problems.iter().map(|problem| problem.to_string()).collect::<String>();
        for word in row.words {
            let word = says.fill(word);
            assert!(text.contains(&word), "{word:?} is missing in {text}");
        }
        let mut commands = problems.iter().filter_map(|problem| problem["command"].as_str());
        Ok(commands.next().map(str::to_owned))
    }
}

#[test]
fn an_agent_that_ends_is_gone_at_once_and_a_lock_that_is_held_names_its_holder() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, _two] = lab.these();
        let web = one.pod("web")?;
        let rig = Rig::start(one, &web)?;
        let lock = File::open(one.path("/run/podlan/podnet/lock"));
        let lock = lock.map_err(|source| Error::System { doing: "open the lock".into(), source })?;
        assert!(lock.try_lock().is_ok(), "nobody holds it");
        let said = rig.doctor(&[])?;
        assert_eq!(red(&said), ["store"], "{said}");
        let holder = format!("the process {} (", std::process::id());
        assert!(said.to_string().contains(&holder), "{holder} is missing in {said}");
        drop(lock);
        rig.is_well()?;
        rig.agent.signal(Signal::SIGKILL)?;
        eventually(Duration::from_secs(10), "the agent is gone, long before its report is stale", || {
            let said = rig.doctor(&[]).map_err(|error| error.to_string())?;
            if said.to_string().contains("has ended: nothing holds node.lock") { Ok(()) } else { Err(said.to_string()) }
        })?;
        Ok(())
    });
}

#[test]
fn a_conflist_or_a_plugin_that_is_removed_is_back_long_before_the_next_check() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, _two] = lab.these();
        let web = one.pod("web")?;
        let _rig = Rig::start(one, &web)?;
        for file in ["/run/net.d/10-podlan.conflist", "/run/bin/podlan", "/run/bin/podlan-ipam"] {
            let path = one.path(file);
            fs::remove_file(&path).map_err(|source| Error::System { doing: format!("remove {file}"), source })?;
            // The checks come once a minute.
            eventually(Duration::from_secs(20), file, || {
                if path.exists() { Ok(()) } else { Err("it is not back".to_owned()) }
            })?;
        }
        Ok(())
    });
}
