//! A machine that refuses namespaces gives an error with a fix; a test there is skipped loudly, and fails in CI.
//!
//! ```text
//!   lab whose user namespaces are used up ── podlan-lab enter ── ✗
//! ```

use podlan_conformance::lab::{Error, Lab, Node, binaries, refusal, within};

/// Allows no more user namespaces in this lab, as a machine's owner may.
fn refuse(node: &Node) -> Result<(), Error> {
    let used_up = "echo 0 > /proc/sys/user/max_user_namespaces";
    node.command("sh").args(["-c", used_up]).succeeds().map(drop)
}

#[test]
fn a_refused_lab_names_the_fix() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        refuse(node)?;
        let refused = node.command(binaries::lab()?).args(["enter", "--", "true"]).fails()?;
        let code = refused.status.and_then(|status| status.code());
        assert_eq!(code, Some(i32::from(refusal::EXIT_CODE)), "{}", refused.report());
        assert!(refused.stderr.contains("sysctl -w user.max_user_namespaces="), "{}", refused.report());
        Ok(())
    });
}

#[test]
fn a_test_without_a_lab_is_skipped_loudly_and_fails_in_ci() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        refuse(node)?;
        let myself = std::env::current_exe().map_err(|source| Error::System { doing: "find myself".into(), source })?;
        let test = || {
            let outside = ["-u", podlan_conformance::lab::INSIDE, "-u", "PODLAN_SKIPPED", "-u", "CI"];
            node.command("env").args(outside).env("RUST_BACKTRACE", "0")
        };
        let only = ["--exact", "refused::a_refused_lab_names_the_fix", "--nocapture"];
        let skipped = test().arg(&myself).args(only).run()?;
        assert!(skipped.success() && skipped.stderr.contains("SKIPPED: "), "{}", skipped.report());
        let failed = test().arg("CI=true").arg(&myself).args(only).run()?;
        assert!(!failed.success(), "{}", failed.report());
        Ok(())
    });
}
