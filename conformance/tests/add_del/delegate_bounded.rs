//! An IPAM plugin of another type that never ends, and a namespace that cannot be opened at the moment: each is named
//! with a code of its own, and nothing is left.
//!
//! ```text
//!   node1
//!     └── web  its IPAM is a shell script that sleeps
//! ```

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Lab, Sabotage, within, within_with_strace};
use serde_json::json;

fn wrong(what: &str, error: &std::io::Error) -> Error {
    Error::Unreadable { from: what.to_owned(), said: error.to_string() }
}

#[test]
fn an_ipam_plugin_that_never_ends_is_killed_and_named_and_nothing_is_left() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let before = node.network()?;
        let script = "#!/bin/sh\necho $$ >>/run/slow.pids\nsleep 1000 &\necho $! >>/run/slow.pids\nwait\n";
        let program = node.path("/run/slow");
        let written = std::fs::write(&program, script)
            .and_then(|()| std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)));
        written.map_err(|error| wrong("a plugin", &error))?;
        let mut config = node.podnet();
        config["ipam"] = json!({ "type": "slow" });
        config["delegateTimeout"] = json!(1);
        let web = node.pod("web")?;
        for verb in ["ADD", "DEL"] {
            let begun = Instant::now();
            let command = web.cni(verb, "eth0", &config)?.env("CNI_PATH", "/run").deadline(Duration::from_secs(60));
            let complaint = command.run()?.complaint()?;
            assert_eq!(complaint.code, 11, "{verb}: {complaint:?}");
            assert!(complaint.text.contains("/run/slow did not end within 1 s"), "{verb}: {complaint:?}");
            assert!(begun.elapsed() >= Duration::from_secs(1));
        }
        let pids = std::fs::read_to_string(node.path("/run/slow.pids")).map_err(|error| wrong("the pids", &error))?;
        let living =
            format!("for pid in {}; do kill -0 $pid 2>/dev/null && echo $pid; done; true", pids.replace('\n', " "));
        podlan_conformance::lab::eventually(Duration::from_secs(10), "its processes are gone", || {
            let living = node.command("sh").args(["-c", &living]).succeeds().map_err(|error| error.to_string())?;
            if living.is_empty() { Ok(()) } else { Err(living) }
        })?;
        assert_eq!(node.network()?.since(&before), "");
        Ok(())
    });
}

/// Code 3 would tell the runtime that there is nothing to delete.
#[test]
fn check_reports_a_namespace_as_gone_only_when_it_is() {
    within_with_strace(|node| {
        let web = node.pod("web")?;
        let mut config = node.podnet();
        config["prevResult"] = web.add(&config)?.result;
        let mut points = 0;
        for errno in ["EMFILE", "ENFILE", "ENOMEM", "EPERM", "EACCES", "EIO"] {
            let opens = |call: &str| matches!(call, "openat" | "open" | "setns" | "fstatfs" | "socket" | "statx");
            let stops = Sabotage {
                tamper: &format!("error={errno}"),
                of: &opens,
                before: || Ok(()),
                command: || web.cni("CHECK", "eth0", &config),
                run: podlan_conformance::lab::Command::run,
                then: |when: &str, output: &podlan_conformance::lab::Output| {
                    let code = (!output.success()).then(|| output.clone().complaint()).transpose()?.map(|it| it.code);
                    let passing = matches!(errno, "EMFILE" | "ENFILE" | "ENOMEM");
                    let other = matches!(code, None | Some(5 | 11 | 104));
                    match other && !(when.contains("setns") && passing && code == Some(104)) {
                        true => Ok(()),
                        false => Err(output.clone().but(&format!("{when}: another code"))),
                    }
                },
            };
            points += stops.at_each_call(node)?;
        }
        assert!(points > 20, "{points}");
        web.remove()?;
        assert_eq!(web.cni("CHECK", "eth0", &config)?.run()?.complaint()?.code, 3);
        web.del(&node.podnet())
    });
}
