//! A change of a file is noticed by its event through any symlinks, and at the next resync where there is no event.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};

use super::{SOON, agent_on, folder, has, has_routes_to, node_command, of, stop};

/// How much longer a change through symlinks may take than the slowest of [`BASE`] changes of a plain file.
const FACTOR: u32 = 50;
const BASE: usize = 3;

/// Renames a new link over an old one, as releases are switched.
fn switch(link: &Path, target: &str) {
    let beside = link.with_file_name("beside");
    symlink(target, &beside).unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
    fs::rename(&beside, link).unwrap();
}

/// Two releases below `at`: one without the last node and one with it.
fn releases(node: &Node, at: &str, nodes: &[&Node]) {
    for (release, nodes) in [("v1", &nodes[..nodes.len() - 1]), ("v2", nodes)] {
        fs::write(folder(node, &format!("{at}/{release}")).join("nodes.yaml"), of(nodes)).unwrap();
    }
}

type Layout = (&'static str, &'static str, fn(&Node, &[&Node]), fn(&Node));

/// The paths of the file, and how each is changed.
fn layouts() -> Vec<Layout> {
    fn at(node: &Node, path: &str) -> std::path::PathBuf {
        node.path(path)
    }
    vec![
        (
            "a relative link to a directory",
            "/run/a/cur/nodes.yaml",
            |node, nodes| {
                releases(node, "/run/a", nodes);
                symlink("v1", at(node, "/run/a/cur")).unwrap();
            },
            |node| switch(&at(node, "/run/a/cur"), "v2"),
        ),
        (
            "an absolute link in the middle of the way",
            "/run/b/live/etc/nodes.yaml",
            |node, nodes| {
                releases(node, "/run/b/v1", &nodes[..nodes.len() - 1]);
                releases(node, "/run/b/v2", nodes);
                for version in ["v1", "v2"] {
                    symlink("v2", at(node, &format!("/run/b/{version}/etc"))).unwrap();
                }
                symlink("/run/b/v1", at(node, "/run/b/live")).unwrap();
            },
            |node| switch(&at(node, "/run/b/live"), "/run/b/v2"),
        ),
        (
            "a chain of links to a file",
            "/run/c/nodes.yaml",
            |node, nodes| {
                releases(node, "/run/c/releases", nodes);
                symlink("one/nodes.yaml", at(node, "/run/c/nodes.yaml")).unwrap();
                symlink("/run/c/two", at(node, "/run/c/one")).unwrap();
                symlink("releases/v1", at(node, "/run/c/two")).unwrap();
            },
            |node| switch(&at(node, "/run/c/two"), "releases/../releases/v2"),
        ),
        (
            "a ConfigMap's directory",
            "/run/d",
            |node, nodes| {
                releases(node, "/run/d", nodes);
                symlink("v1", at(node, "/run/d/..data")).unwrap();
                symlink("..data/nodes.yaml", at(node, "/run/d/nodes.yaml")).unwrap();
            },
            |node| switch(&at(node, "/run/d/..data"), "v2"),
        ),
        (
            "a directory with a link to a file elsewhere",
            "/run/e/nodes.d",
            |node, nodes| {
                releases(node, "/run/e", nodes);
                symlink("v1", at(node, "/run/e/cur")).unwrap();
                symlink("/run/e/cur/nodes.yaml", folder(node, "/run/e/nodes.d").join("all.yaml")).unwrap();
            },
            |node| switch(&at(node, "/run/e/cur"), "v2"),
        ),
        (
            "a directory that is replaced",
            "/run/f/etc/podlan/nodes.yaml",
            |node, nodes| {
                releases(node, "/run/f/etc", &nodes[..nodes.len() - 1]);
                releases(node, "/run/f/new", nodes);
                symlink("v2", at(node, "/run/f/etc/podlan")).unwrap();
                symlink("v2", at(node, "/run/f/new/podlan")).unwrap();
            },
            |node| {
                fs::rename(at(node, "/run/f/etc"), at(node, "/run/f/old")).unwrap();
                fs::rename(at(node, "/run/f/new"), at(node, "/run/f/etc")).unwrap();
            },
        ),
        (
            "a parent that is removed and made again",
            "/run/g/etc/podlan/nodes.yaml",
            |node, nodes| {
                releases(node, "/run/g", nodes);
                let there = folder(node, "/run/g/etc/podlan").join("nodes.yaml");
                fs::copy(at(node, "/run/g/v1/nodes.yaml"), there).unwrap();
            },
            |node| {
                fs::remove_dir_all(at(node, "/run/g/etc")).unwrap();
                let there = folder(node, "/run/g/etc/podlan").join("nodes.yaml");
                fs::copy(at(node, "/run/g/v2/nodes.yaml"), there).unwrap();
            },
        ),
    ]
}

/// A file without symlinks.
const PLAIN: Layout = (
    "a plain file",
    "/run/plain/nodes.yaml",
    |node, nodes| {
        releases(node, "/run/plain", nodes);
        fs::copy(node.path("/run/plain/v1/nodes.yaml"), node.path("/run/plain/nodes.yaml")).unwrap();
    },
    |node| fs::rename(node.path("/run/plain/v2/nodes.yaml"), node.path("/run/plain/nodes.yaml")).unwrap(),
);

/// How long an agent takes to notice a change; its resync is far away.
fn notices((what, path, make, change): Layout, nodes: [&Node; 3]) -> Result<Duration, Error> {
    let [one, two, _] = nodes;
    make(one, &nodes);
    let agent = agent_on(one, path, &["--resync", "1h"])?;
    has_routes_to(one, two)?;
    let began = Instant::now();
    change(one);
    eventually(SOON, &format!("{what}: noticed"), || has(one, &["unicast", "10.244.3.0/24"]))?;
    let took = began.elapsed();
    stop(agent)?;
    node_command(one, "cleanup")?;
    Ok(took)
}

#[test]
fn a_change_is_noticed_by_its_event_through_symlinks_of_every_layout() {
    within(|| {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let plain = (0..BASE).map(|_| notices(PLAIN, [one, two, three])).collect::<Result<Vec<_>, _>>()?;
        let base = plain.into_iter().max().unwrap_or_default();
        for layout in layouts() {
            let took = notices(layout, [one, two, three])?;
            assert!(took < base * FACTOR, "{}: {took:?}, and a plain file takes {base:?}", layout.0);
        }
        Ok(())
    });
}

#[test]
fn a_change_without_an_event_is_seen_at_the_next_resync() {
    within(|| -> Result<(), Error> {
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let file = folder(one, "/run/lists").join("nodes.json");
        fs::write(&file, of(&[one, two])).unwrap();
        // Another name of the same file, in a directory without a watch.
        let other = folder(one, "/run/elsewhere").join("other");
        fs::hard_link(&file, &other).unwrap();
        let agent = agent_on(one, "/run/lists/nodes.json", &["--resync", "500ms"])?;
        has_routes_to(one, two)?;
        fs::write(&other, of(&[one, two, three])).unwrap();
        has_routes_to(one, three)?;
        stop(agent)
    });
}
