//! What the page holds, and that no text of a node becomes part of the page itself.

use conditions::Kind;
use serde_json::Value;

use super::*;
use crate::cluster::tests::answers;
use crate::kubernetes::Agent;
use crate::view::status::tests::{node, paths};

fn site(name: &str) -> Site {
    Site {
        node: name.into(),
        pod_cidrs: vec!["10.244.7.0/24".parse().unwrap()],
        agent: Agent::Runs { pod: "p".into(), container: "podlan-node".into() },
    }
}

/// The data of a page, as a browser's script reads it.
fn data(page: &str) -> Value {
    let (_, after) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(after.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_page_has_each_node_with_its_state_its_segment_and_its_paths() {
    let (mut one, mut two) = (node("node1"), node("node2"));
    one.direct = vec![1];
    one.state.paths = Some(paths(&[("node2", "ipv4", "lost-there"), ("unlisted", "ipv4", "lost")], 1));
    two.state.conditions = vec![Condition::new(Kind::ForwardingOff, "", "it is off")];
    let sites = ["node1", "node2", "node3", "win"].map(site);
    let mut all = answers([("node1", Ok(one)), ("node2", Ok(two)), ("node3", Err("down"))]);
    all.not_expected = vec![("win".into(), "windows".into())];
    let map = map(&sites, &all, 1_800_000_000);
    assert_eq!(map.code(), 1);
    let data = data(&map.html().unwrap());
    let states: Vec<&str> =
        data["nodes"].as_array().unwrap().iter().filter_map(|node| node["state"].as_str()).collect();
    assert_eq!(states, ["well", "critical", "silent", "not-expected"]);
    assert_eq!(data["segments"], serde_json::json!([[0, 1], [2], [3]]));
    assert_eq!(data["nodes"][0]["others"]["ipv4"], "open");
    assert_eq!(data["nodes"][2]["reasons"][0], "down");
    assert_eq!(data["nodes"][2]["podCIDRs"][0], "10.244.7.0/24", "by the API");
    assert_eq!(data["nodes"][3]["reasons"][0], "windows");
    let named = data["paths"].as_array().unwrap();
    assert_eq!(named.len(), 1, "a path to a node that is not listed has no place");
    assert_eq!((&named[0]["from"], &named[0]["to"], &named[0]["bad"]), (&0.into(), &1.into(), &true.into()));
}

#[test]
fn no_text_of_a_node_can_end_its_element_or_begin_another() {
    let evil = "</script><script>alert(1)</script><!--<script>\u{2028}&lt;/*style*//*data*/$&";
    let mut one = node(evil);
    one.state.conditions = vec![Condition::new(Kind::ForwardingOff, evil, evil).cured_by(evil)];
    one.state.paths = Some(paths(&[(evil, "ipv4", evil)], 0));
    one.state.reasons = vec![evil.into()];
    let answer = crate::cluster::Answer { release: Ok(evil.into()), value: one, complaint: None };
    let mut all = answers::<NodeStatus>([]);
    all.nodes = vec![(evil.into(), Ok(answer))];
    let sites = [site(evil)];
    let page = map(&sites, &all, 0).html().unwrap();
    let empty = map(&[], &answers([]), 0).html().unwrap();
    for mark in ["<script", "</script", "<!--", "<style"] {
        assert_eq!(page.matches(mark).count(), empty.matches(mark).count(), "{mark}");
    }
    assert!(!page.contains('\u{2028}'));
    let data = data(&page);
    assert_eq!((&data["nodes"][0]["name"], &data["versions"][0]["release"]), (&evil.into(), &evil.into()));
}

#[test]
fn the_page_loads_nothing_and_its_script_makes_no_html_of_texts() {
    let page = map(&[], &answers([]), 0).html().unwrap();
    for loads in ["http:", "https:", "//", "url(", "@import", "<link", "src=", "href="] {
        let allowed = page.matches("http://www.w3.org/2000/svg").count() * usize::from(matches!(loads, "http:" | "//"));
        let comments = page.lines().filter(|line| line.contains("// ")).count() * usize::from(loads == "//");
        let ids = page.matches("url(#").count() * usize::from(loads == "url(");
        assert_eq!(page.matches(loads).count(), allowed + comments + ids, "{loads}");
    }
    for makes in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
        assert!(!page.contains(makes), "{makes}");
    }
    assert!(page.contains("default-src 'none'") && !page.contains("/*script*/") && !page.contains("/*style*/"));
}

#[test]
fn a_thousand_nodes_fit_into_a_page_that_a_browser_opens_at_once() {
    let names: Vec<String> = (0..1000).map(|number| format!("node{number}")).collect();
    let sites: Vec<Site> = names.iter().map(|name| site(name)).collect();
    let mut all = answers::<NodeStatus>([]);
    let answer = |name: &str| {
        let mut node = node(name);
        node.direct = (0..1000).collect();
        node.state.paths = Some(paths(&[], 999));
        Ok(crate::cluster::Answer { release: Ok("0.1.0 (commit abc)".into()), value: node, complaint: None })
    };
    all.nodes = names.iter().map(|name| (name.clone(), answer(name))).collect();
    let map = map(&sites, &all, 0);
    assert_eq!((map.segments.len(), map.code()), (1, 0));
    let bytes = map.html().unwrap().len();
    assert!(bytes < 1 << 20, "{bytes}");
}
