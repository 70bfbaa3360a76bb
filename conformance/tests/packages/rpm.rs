//! The rpm, installed, upgraded and removed by rpm into a root file system that has no other rpm.

use podlan_conformance::lab::{Error, Lab, Node, within};

use crate::release::artefact;
use crate::root::{Root, fresh};

/// rpm of the machine: on Debian it asks whether it is meant, and its database has no package that owns /bin/sh.
fn rpm(node: &Node, root: &Root<'_>, words: &[&str]) -> Result<String, Error> {
    node.command("rpm").arg("--root").arg(root.at("/")).args(["--force-debian", "--nodeps"]).args(words).succeeds()
}

#[test]
fn the_rpm_installs_works_once_it_is_configured_and_leaves_its_settings() {
    let (Some(package), Some(root)) = (artefact(&format!(".{}.rpm", std::env::consts::ARCH)), fresh("rpm")) else {
        return;
    };
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let root = Root::new(node, root)?;
        let package = package.display().to_string();
        rpm(node, &root, &["--install", &package])?;
        root.is_installed()?;
        root.works()?;
        rpm(node, &root, &["--upgrade", "--force", &package])?;
        assert_eq!(root.says("systemctl", &["is-enabled", "podlan-node"])?.trim(), "enabled");
        assert!(root.read("/etc/podlan/podlan-node.env").contains("\nNODE_NAME="), "the administrator's file stays");

        rpm(node, &root, &["--erase", "podlan"])?;
        assert!(root.lacks("/etc/systemd/system/multi-user.target.wants/podlan-node.service"));
        assert!(root.lacks("/usr/bin/podlan-node") && root.lacks("/usr/libexec/podlan"));
        assert!(root.read("/etc/podlan/podlan-node.env.rpmsave").contains("\nNODE_NAME="), "what was changed stays");
        Ok(())
    });
}
