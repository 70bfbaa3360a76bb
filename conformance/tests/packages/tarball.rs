//! The tarball: the same bytes each time, and programs that run from where they were unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podlan_conformance::lab::{Lab, binaries, within};

use crate::release::{COMPLETE, VERSION, goarch, script, succeeds};

const PROGRAMS: [&str; 3] = ["podlan", "podlan-ipam", "podlan-node"];

fn make(binaries: &Path, out: &Path) -> PathBuf {
    let words = ["--format", "tar", "--binaries", binaries.to_str().unwrap(), "--output", out.to_str().unwrap()];
    script("packages", &words).into()
}

#[test]
fn a_tarball_of_the_same_programs_is_the_same_each_time() {
    let (programs, one, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for program in PROGRAMS {
        fs::write(programs.path().join(program), program).unwrap();
    }
    let first = make(programs.path(), one.path());
    assert!(
        fs::read(&first).unwrap() == fs::read(make(programs.path(), other.path())).unwrap(),
        "made twice, it differs"
    );
    let listed = succeeds(Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&first));
    for line in listed.lines() {
        assert!(line.contains(" 0/0 ") && line.contains(" 2023-11-1"), "{line}");
    }
    let top = format!("podlan-{VERSION}-linux-{}", goarch());
    assert_eq!(first.file_name().unwrap().to_str().unwrap(), format!("{top}.tar.gz"));
    let files = [
        "podlan",
        "podlan-node.service",
        "nodes.yaml.example",
        "LICENSE",
        "man8/podlan-node.8",
        "completions/_podlan-node",
    ];
    for file in files {
        assert!(listed.contains(&format!(" {top}/{file}\n")), "{file} is missing:\n{listed}");
    }
}

/// The tarball of the release where there is one, otherwise one of the programs under test.
#[test]
fn the_programs_of_a_tarball_run_where_they_were_unpacked() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let folder = tempfile::tempdir().unwrap();
        let tarball = match std::env::var_os("PODLAN_PACKAGES") {
            Some(release) => Path::new(&release).join(format!("podlan-{VERSION}-linux-{}.tar.gz", goarch())),
            None => make(&binaries::folder()?, folder.path()),
        };
        node.command("tar")
            .args(["--extract", "--file"])
            .arg(&tarball)
            .arg("--directory")
            .arg(folder.path())
            .succeeds()?;
        let at = folder.path().join(format!("podlan-{VERSION}-linux-{}", goarch()));
        let version = node.command(at.join("podlan-node")).arg("--version").succeeds()?;
        assert!(version.starts_with(&format!("podlan-node {VERSION} (commit ")), "{version}");
        let kernel = node.command(at.join("podlan-node")).args(["doctor", "--kernel"]).run()?;
        assert!(kernel.stdout.contains("CONFIG_VETH"), "{}", kernel.report());
        for plugin in ["podlan", "podlan-ipam"] {
            let said = node.command(at.join(plugin)).env("CNI_COMMAND", "VERSION").stdin("{}").succeeds()?;
            assert!(said.contains("supportedVersions"), "{said}");
        }
        let completion = at.join("completions/podlan-node.bash");
        let completed = node.command("bash").args(["-c", COMPLETE, "bash"]).arg(completion).succeeds()?;
        assert_eq!(completed, "doctor\n--kernel\n");
        let unit = fs::read_to_string(at.join("podlan-node.service")).unwrap();
        assert!(unit.contains("\nExecStart=/usr/local/bin/podlan-node run "), "{unit}");
        Ok(())
    });
}
