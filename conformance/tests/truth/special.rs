//! What is no row: a fault that only a trace of one port sees, `doctor --fix` without the right to fix, and a node without an
//! agent.

use podlan_conformance::lab::{Lab, binaries, eventually, within};

use crate::row::At;
use crate::stage::{Options, SOON, Stage};
use crate::told::{all, brief};

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
        stage.script(At::Node, "sysctl -qw net.ipv4.ip_forward=0", "")?;
        let lab = binaries::lab()?.display().to_string();
        let doctor = stage.node.command(binaries::find("podlan-node")?).args(["doctor", "--fix"]);
        let said = doctor.under(&lab, ["read-only", "--but", "/run/podlan", "--"]).fails()?;
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
fn a_node_whose_agent_never_started_is_said_to_be_so() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        for command in ["status", "doctor"] {
            let said = node.command(binaries::find("podlan-node")?).arg(command).fails()?;
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains("/run/podlan/node.json"), "{command}: {text}");
        }
        Ok(())
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
