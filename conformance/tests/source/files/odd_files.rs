//! Something else in the place of a file affects that file only: it is named, the last good contents stay, and nothing
//! blocks.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, within};
use serde_json::Value;

use super::{SOON, agent_on, folder, has, has_not, has_routes_to, is_ready, of, ours, state, status_names, stop};

type Oddity = (&'static str, fn(&Path), &'static str);

/// What may be in the place of a file, and the text that names it.
fn oddities() -> Vec<Oddity> {
    vec![
        ("a pipe", pipe, "it is a named pipe, not a file"),
        ("a directory", |path| fs::create_dir(path).unwrap(), "it is a directory, not a file"),
        ("a link to nothing", |path| symlink("nowhere", path).unwrap(), "No such file or directory"),
        ("a link to a device", |path| symlink("/dev/zero", path).unwrap(), "it is a device, not a file"),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), "it is a socket, not a file"),
        ("UTF-16", utf16, "it is not UTF-8 text (UTF-16?); save it as UTF-8"),
        ("half a list", |path| fs::write(path, "{\"items\": [").unwrap(), "EOF while parsing"),
        ("an empty file", |path| fs::write(path, "").unwrap(), "the file is empty"),
    ]
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
}

fn utf16(path: &Path) {
    let units = "\u{feff}{\"items\": []}".encode_utf16();
    fs::write(path, units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
}

fn clear(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

/// Waits until the source's error has these words.
fn errs(node: &Node, words: &str) -> Result<(), Error> {
    eventually(SOON, &format!("the error names {words:?}"), || match state(node)["source"]["error"].as_str() {
        Some(error) if error.contains(words) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn a_nodes_file_that_is_no_file_is_named_and_the_last_good_list_stays() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let file = folder(one, "/run/lists").join("nodes.json");
        for (what, make, words) in oddities() {
            clear(&file);
            fs::write(&file, of(&[one, two])).unwrap();
            let agent = agent_on(one, "/run/lists/nodes.json", &["--resync", "1h"])?;
            is_ready(one, &agent)?;
            let before = ours(one)?;
            clear(&file);
            make(&file);
            // A directory may be a directory of nodes files.
            errs(one, if what == "a directory" { "it holds no file of nodes" } else { words })?;
            errs(one, "/run/lists/nodes.json")?;
            assert_eq!(ours(one)?, before, "{what}");
            one.place().remove_route(two.pod_cidrs()[0])?;
            has_routes_to(one, two)?;
            clear(&file);
            fs::write(&file, of(&[one, two, three])).unwrap();
            has_routes_to(one, three)?;
            errs(one, "")?;
            stop(agent)?;
        }
        Ok(())
    });
}

#[test]
fn an_odd_file_in_the_nodes_directory_affects_its_own_nodes_only() {
    within(|| {
        let lab = Lab::new(4)?;
        let [one, two, three, four] = lab.these();
        for (what, make, words) in oddities() {
            let nodes = folder(one, "/run/nodes.d");
            let (first, second) = (nodes.join("a.yaml"), nodes.join("b.yaml"));
            fs::write(&first, of(&[one, two])).unwrap();
            clear(&second);
            fs::write(&second, of(&[three])).unwrap();
            let agent = agent_on(one, "/run/nodes.d", &["--resync", "1h"])?;
            has_routes_to(one, two)?;
            has_routes_to(one, three)?;
            clear(&second);
            make(&second);
            errs(one, "/run/nodes.d/b.yaml")?;
            errs(one, words)?;
            errs(one, "its last good content stays in force")?;
            fs::write(&first, of(&[one, two, four])).unwrap();
            has_routes_to(one, four)?;
            assert_eq!(ours(one)?.len(), 8, "{what}: {:?}", ours(one)?);
            // The next agent knows by this file what the node had.
            eventually(SOON, "the fourth node is on file", || {
                let kept = fs::read_to_string(one.path("/run/podlan/kept.json")).unwrap_or_default();
                if kept.contains(four.name()) { Ok(()) } else { Err(kept) }
            })?;
            // Started with an incomplete list: the nodes in it count, and none is removed.
            stop(agent)?;
            fs::write(&first, of(&[one, two])).unwrap();
            let agent = agent_on(one, "/run/nodes.d", &["--resync", "1h", "--withdraw-hold", "1s"])?;
            errs(one, "until then no node counts as removed")?;
            one.place().remove_route(two.pod_cidrs()[0])?;
            has_routes_to(one, two)?;
            assert_eq!(ours(one)?.len(), 8, "{what}: {:?}", ours(one)?);
            clear(&second);
            eventually(SOON, &format!("{what} is gone, and the nodes with it"), || {
                has_not(one, &["unicast", "10.244.4.0/24"])
            })?;
            has(one, &["unicast", "10.244.2.0/24"]).map_err(|seen| Error::Never {
                fact: what.into(),
                deadline: SOON,
                seen,
            })?;
            errs(one, "")?;
            stop(agent)?;
        }
        Ok(())
    });
}

#[test]
fn an_odd_file_among_the_network_configurations_is_named_and_blocks_nothing() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        for (what, make, words) in
            oddities().into_iter().filter(|(_, _, words)| words.starts_with("it is") || words.starts_with("No"))
        {
            let dir = folder(one, "/run/net.d");
            let odd = dir.join("20-odd.conflist");
            make(&odd);
            let agent = one.agent(&["--cni-conf-dir", "/run/net.d", "--resync", "300ms"])?;
            is_ready(one, &agent)?;
            has_routes_to(one, two)?;
            status_names(one, "20-odd.conflist")?;
            status_names(one, words)?;
            let conflist: Value = serde_json::from_slice(&fs::read(dir.join("10-podlan.conflist")).unwrap()).unwrap();
            assert_eq!(conflist["name"], "podnet", "{what}");
            one.place().remove_route(two.pod_cidrs()[0])?;
            has_routes_to(one, two)?;
            let doctor =
                one.command(binaries::find("podlan-node")?).args(["doctor", "--cni-conf-dir", "/run/net.d"]).run()?;
            assert!(doctor.stdout.contains("20-odd.conflist cannot be read"), "{what}: {}", doctor.report());
            stop(agent)?;
            clear(&odd);
        }
        Ok(())
    });
}
