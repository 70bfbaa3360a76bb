//! The deb, installed, upgraded, removed and purged by dpkg.

use std::fs;

use podlan_conformance::lab::{Lab, within};

use crate::release::{artefact, goarch};
use crate::root::{Root, fresh};

const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/podlan-node.service";

#[test]
fn the_deb_installs_works_once_it_is_configured_and_leaves_nothing() {
    let (Some(deb), Some(root)) = (artefact(&format!("_{}.deb", goarch())), fresh("deb")) else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let root = Root::new(node, root)?;
        let deb = root.take(&deb);
        root.says("dpkg", &["--install", &deb])?;
        root.is_installed()?;
        root.works()?;

        // An upgrade keeps what the administrator changed, and does not enable again what was disabled.
        let settings = root.read("/etc/podlan/podlan-node.env");
        root.says("systemctl", &["disable", "podlan-node"])?;
        root.says("dpkg", &["--install", &deb])?;
        assert_eq!(root.read("/etc/podlan/podlan-node.env"), settings);
        assert!(root.lacks(ENABLED));
        root.says("systemctl", &["enable", "podlan-node"])?;

        root.says("dpkg", &["--remove", "podlan"])?;
        assert!(root.lacks(ENABLED) && root.lacks("/usr/bin/podlan-node") && root.lacks("/usr/libexec/podlan"));
        assert_eq!(root.read("/etc/podlan/podlan-node.env"), settings);
        fs::remove_file(root.at("/etc/podlan/nodes.yaml")).unwrap();
        root.says("dpkg", &["--purge", "podlan"])?;
        assert!(root.lacks("/etc/podlan") && root.lacks("/etc/iproute2/rt_protos.d/podlan.conf"));
        Ok(())
    });
}
