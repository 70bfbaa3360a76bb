//! `kubectl podlan map`, looked at in a browser: what a click on a node tells, that nothing of a node's text becomes part of the
//! page, that it loads nothing, in light and dark, for three nodes and for a thousand. `PODLAN_GOLDEN=record` keeps the picture
//! in docs/map.png.

use std::path::{Path, PathBuf};

use podlan_conformance::lab::{Error, Lab, within};
use serde_json::{Value, json};

use super::browser::{Browser, is_here};
use super::members;
use super::rig::{Cluster, drop_one_way, paths_are};

const PAGE: &str = "/run/map.html";

/// A name that would run a script, were it read as HTML, as the end of a script or as code.
const EVIL: &str =
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'`${1}";

fn page(cluster: &Cluster, code: i32) -> Result<&'static Path, Error> {
    cluster.text(&["map", "--output", PAGE], code)?;
    Ok(Path::new(PAGE))
}

fn is(browser: &Browser, script: &str, expected: &Value) -> Result<(), Error> {
    let found = browser.script(script)?;
    assert_eq!(&found, expected, "{script}");
    Ok(())
}

#[test]
fn a_click_on_a_node_tells_what_is_wrong_there_and_no_text_of_a_node_is_read_as_html() {
    within(|| {
        if !is_here() {
            return Ok(());
        }
        let lab = Lab::new(3)?;
        let [one, two, three] = lab.these();
        let (web, db, far) = (one.pod("web")?, two.pod("db")?, three.pod("far")?);
        let members = members(&lab, [&web, &db, &far])?;
        let cluster = Cluster::of(&members)?;
        paths_are(&members, &[])?;
        drop_one_way(1, 3)?;
        paths_are(&members, &[("node1", "node3", "lost-there"), ("node3", "node1", "lost-back")])?;

        let browser = Browser::start()?;
        browser.open(page(&cluster, 1)?)?;
        assert_eq!(browser.text("verdict")?, "Something is wrong");
        assert!(browser.text("panel")?.contains("Click a node"), "{}", browser.text("panel")?);
        is(&browser, "return document.querySelectorAll('.pill').length", &json!(3))?;
        is(&browser, "return document.querySelectorAll('.edge.bad').length", &json!(1))?;
        is(&browser, "return document.querySelectorAll('.edge.open').length", &json!(3))?;
        browser.click("[data-node=node1]")?;
        let panel = browser.text("panel")?;
        for says in ["node1", "10.244.1.0/24, fd00:10:244:1::/64", "paths-lost", "lost-there", "Fix:", "node3"] {
            assert!(panel.contains(says), "{says}: {panel}");
        }
        if std::env::var("PODLAN_GOLDEN").is_ok_and(|word| word == "record") {
            browser.picture(&PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/map.png")))?;
        }
        // A second click, or Escape, shows the whole again; a link in the panel leads to another node.
        browser.click("#panel .link")?;
        assert!(browser.text("panel")?.starts_with("node3"), "{}", browser.text("panel")?);
        browser.click("[data-node=node3]")?;
        assert!(browser.text("panel")?.contains("Look at these first"));

        let background = "return getComputedStyle(document.body).backgroundColor";
        browser.prefers("light")?;
        let light = browser.script(background)?;
        browser.prefers("dark")?;
        assert_ne!(browser.script(background)?, light, "dark is as light");
        is(&browser, "return performance.getEntriesByType('resource').length", &json!(0))?;
        assert_eq!(browser.complaints()?, json!([]));

        // Hostile names, and a cluster of a thousand nodes whose other agents do not answer.
        let mut nodes = cluster.object("nodes.json")?;
        let more = (4..=999).map(|number| format!("node{number}")).chain([EVIL.to_owned()]);
        let items = more.map(|name| json!({ "metadata": { "name": name } }));
        if let Some(list) = nodes["items"].as_array_mut() {
            list.extend(items);
        }
        cluster.put("nodes.json", &nodes)?;
        browser.open(page(&cluster, 1)?)?;
        is(&browser, "return document.querySelectorAll('.tile').length", &json!(1000))?;
        is(&browser, "return document.title", &json!("podlan: the pod network of a cluster"))?;
        is(&browser, "return [document.querySelectorAll('img').length, document.scripts.length]", &json!([0, 2]))?;
        is(&browser, &format!("return nodes.some(node => node.name === {})", json!(EVIL)), &json!(true))?;
        browser.click(".tile.silent")?;
        let panel = browser.text("panel")?;
        assert!(panel.contains("Why it did not answer") && panel.contains("no pod of the agent"), "{panel}");
        browser.click("[data-node=node1]")?;
        assert!(browser.text("panel")?.contains("lost-there"), "{}", browser.text("panel")?);
        is(&browser, "return document.querySelectorAll('.tile.badpath').length", &json!(1))?;
        is(&browser, "return document.title", &json!("podlan: the pod network of a cluster"))?;
        assert_eq!(browser.complaints()?, json!([]));
        Ok(())
    });
}
