//! Forwarding is kept on while pods live: for the node, and for each link that carries their packets; the agent reports
//! it, and leaves it alone where it is configured to. Switching IPv6 forwarding on never costs the node what it has by
//! router advertisements.
//!
//! ```text
//!   node1 (agent) ─── lan ─── node2 (agent, or a router that advertises)
//!     └── web                   └── db
//! ```

mod advertised;
mod advertisement;
mod rig;

use std::net::IpAddr;

use podlan_conformance::lab::{Error, Lab, binaries, eventually, within};
use serde_json::Value;

use rig::{Rig, SOON, V4, V6, conf_v4, set};

#[test]
fn forwarding_switched_off_by_another_program_is_switched_on_at_once_and_packets_pass() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let rig = Rig::start(one, two, &web, &db, &[])?;
        let settings = [V4.to_owned(), conf_v4("eth0"), conf_v4(&rig.pod_link()?), V6.to_owned()];
        for (count, setting) in (1u64..).zip(&settings) {
            set(one, setting, "0")?;
            rig.becomes(setting, "1")?;
            rig.passes()?;
            rig.metric(&format!("podlan_node_forwarding_heals_total {count}"))?;
            eventually(SOON, "the log has it", || match rig.agent.stderr() {
                said if said.matches("it is on again").count() as u64 == count => Ok(()),
                said => Err(said),
            })?;
        }
        rig.metric("podlan_node_forwarding{family=\"ipv4\"} 1")?;
        rig.metric("podlan_node_forwarding{family=\"ipv6\"} 1")?;

        // IPv4 was switched off three times in a row by now: the agent reports another program, and switches it on with
        // growing delays.
        rig.warns(|warnings| warnings.contains("another program switches IPv4 forwarding off"))?;
        Ok(())
    });
}

#[test]
fn a_pod_added_while_new_links_have_forwarding_off_is_reachable() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let rig = Rig::start(one, two, &web, &db, &[])?;
        set(one, &conf_v4("default"), "0")?;
        let late = one.pod("late")?;
        let at_late = late.add(&one.podnet())?;
        late.reaches(&at_late, &rig.at_db.ips())?;
        late.check(&one.podnet(), &at_late)?;
        assert!(!rig.agent.stderr().contains("it is on again"), "ADD switched it on: {}", rig.agent.stderr());
        Ok(())
    });
}

#[test]
fn an_agent_configured_to_leave_forwarding_alone_reports_that_it_is_off_and_check_and_doctor_do_too() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let rig = Rig::start(one, two, &web, &db, &["--no-keep-forwarding"])?;
        let link = rig.pod_link()?;
        let of = |name: &str| format!("net.ipv4.conf.{name}.forwarding");
        for (setting, name, family, fails_check) in [
            (V4.to_owned(), "net.ipv4.ip_forward".to_owned(), "ipv4", true),
            (conf_v4("eth0"), of("eth0"), "ipv4", false),
            (conf_v4(&link), of(&link), "ipv4", true),
            (V6.to_owned(), "net.ipv6.conf.all.forwarding".to_owned(), "ipv6", true),
        ] {
            set(one, &setting, "0")?;
            rig.warns(|warnings| warnings.contains(&format!("forwarding is off ({name} = 0)")))?;
            rig.metric(&format!("podlan_node_forwarding{{family=\"{family}\"}} 0"))?;
            assert_eq!(one.sysctl(&setting)?, "0", "it is left off");
            assert!(rig.passes().is_err(), "{setting}: packets are lost then");
            assert_eq!(web.check(&one.podnet(), &rig.at_web).is_err(), fails_check, "CHECK, {setting}");
            let doctor = one.command(binaries::find("podlan-node")?).args(["doctor", "--json"]).run()?;
            let said: Value = serde_json::from_str(&doctor.stdout).unwrap_or(Value::Null);
            let checks = said["checks"].as_array().cloned().unwrap_or_default();
            let check = checks.iter().find(|check| check["check"] == "forwarding").cloned().unwrap_or_default();
            assert_eq!(check["state"], "wrong", "{said}");
            assert!(check.to_string().contains(&format!("{name} = 0")), "{check}");
            // The fix of the warning, run as it is printed.
            let warnings = rig.warnings()?;
            let fix = warnings.split(": sysctl -w ").nth(1).and_then(|rest| rest.split('"').next());
            one.command("sysctl").arg("-w").args(fix.unwrap_or_default().split(' ')).succeeds()?;
            rig.warns(|warnings| !warnings.contains("forwarding"))?;
            rig.passes()?;
        }
        Ok(())
    });
}

#[test]
fn an_agent_that_cannot_write_sysctls_switches_ipv4_on_for_each_link_and_names_the_fix_for_ipv6() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let rig = Rig::start_confined(one, two, &web, &db)?;
        let v4 = |addresses: Vec<IpAddr>| addresses.into_iter().filter(IpAddr::is_ipv4).collect::<Vec<_>>();
        let passes = || -> Result<(), Error> {
            web.reaches(&rig.at_web, &v4(rig.at_db.ips()))?;
            db.reaches(&rig.at_db, &v4(rig.at_web.ips()))
        };
        for setting in [V4.to_owned(), conf_v4("eth0"), conf_v4(&rig.pod_link()?)] {
            set(one, &setting, "0")?;
            rig.becomes(&conf_v4("eth0"), "1")?;
            rig.becomes(&conf_v4(&rig.pod_link()?), "1")?;
            passes()?;
        }
        assert_eq!(one.sysctl(V4)?, "0", "the agent could not write it, and it was not needed");
        web.check(&one.podnet(), &rig.at_web)?;

        set(one, V6, "0")?;
        rig.warns(|warnings| {
            let names = |part: &str| warnings.contains(part);
            names("IPv6 forwarding is off")
                && names("Read-only file system")
                && names("sysctl -w net.ipv6.conf.all.forwarding=1")
        })?;
        rig.metric("podlan_node_forwarding{family=\"ipv6\"} 0")?;
        set(one, V6, "1")?;
        rig.warns(|warnings| !warnings.contains("IPv6 forwarding"))?;
        rig.passes()
    });
}

#[test]
fn forwarding_is_not_switched_on_for_a_family_without_pods() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agent = one.agent(&["--resync", "200ms"])?;
        eventually(SOON, "the routes are in", || {
            let network = one.network().map_err(|error| error.to_string())?;
            if network.lines(&["proto", "110"]).len() >= 4 { Ok(()) } else { Err(network.to_string()) }
        })?;
        assert_eq!([one.sysctl(V4)?, one.sysctl(V6)?], ["0", "0"], "without a pod it stays off");
        let web = one.pod("web")?;
        let mut network = one.podnet();
        network["ipam"]["ranges"] = serde_json::json!([[{ "subnet": one.pod_cidrs()[0].to_string() }]]);
        web.add(&network)?;
        set(one, V4, "0")?;
        eventually(SOON, "IPv4 is on again", || match one.sysctl(V4) {
            Ok(value) if value == "1" => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        assert_eq!(one.sysctl(V6)?, "0", "no pod has IPv6");
        assert_eq!(two.sysctl(V4)?, "0");
        Ok(())
    });
}
