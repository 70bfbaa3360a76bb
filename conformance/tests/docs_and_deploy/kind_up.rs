//! scripts/kind-up and scripts/smoke with a docker, kind and kubectl that only write down how they are called: no
//! registry, no cluster. The commands are checked; scripts/test-kubernetes shows what a cluster does with them.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Writes down each call and its stdin. As kubectl it has two pods, and the server in each reports the client address
/// in `SEEN`, or by default that of the asking pod.
const FAKE: &str = r#"#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
case "$(basename "$0") $*" in
    "kind create"*) cat >>"$CALLS" ;;
    *"get pods"*) printf 'one 10.244.1.2 fd00:10:244:1::2\ntwo 10.244.2.2 fd00:10:244:2::2\n' ;;
    *"get service"*) printf 10.96.0.7 ;;
    *"exec one"*"http://["*) echo "[${SEEN:-fd00:10:244:1::2}]:4711" ;;
    *"exec two"*"http://["*) echo "[fd00:10:244:2::2]:4711" ;;
    *"exec one"*) echo "10.244.1.2:4711" ;;
    *"exec two"*) echo "10.244.2.2:4711" ;;
esac
"#;

struct Fakes {
    home: tempfile::TempDir,
}

impl Fakes {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for name in ["docker", "kind", "kubectl", "podlan", "podlan-ipam", "podlan-node"] {
            let path = home.path().join(name);
            fs::write(&path, FAKE).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { home }
    }

    fn run(&self, script: &str, words: &[&str], seen: &str) -> Output {
        let script = scripts().join(script);
        let path = format!("{}:{}", self.home.path().display(), std::env::var("PATH").unwrap());
        let folder = self.home.path();
        let mut command = Command::new(script);
        command.args(words).env("PATH", path).env("CALLS", folder.join("calls")).env("SEEN", seen);
        command.env("PODLAN_BIN_DIR", folder).env("CARGO_TARGET_DIR", folder).output().unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.home.path().join("calls")).unwrap_or_default()
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")
}

#[test]
fn kind_up_makes_a_cluster_without_another_network_installs_podlan_and_tests_it() {
    for family in ["ipv4", "ipv6", "dual"] {
        let fakes = Fakes::new();
        let done = fakes.run("kind-up", &["--ip-family", family], "");
        assert!(done.status.success(), "{done:?}");
        let calls = fakes.calls();
        let steps = [
            "kind create cluster --name podlan --config -",
            "disableDefaultCNI: true",
            &format!("ipFamily: {family}\n"),
            "kind load image-archive",
            "kubectl --context kind-podlan apply --filename deploy/kubernetes/podlan.yaml",
            "rollout status daemonset/podlan",
            "wait --for condition=Ready nodes --all",
            "apply --filename deploy/smoke/smoke.yaml",
            "exec one -- curl",
            "delete --filename deploy/smoke/smoke.yaml",
            "exec daemonset/podlan -- podlan-node status",
        ];
        let mut rest = calls.as_str();
        for step in steps {
            rest = rest.split_once(step).unwrap_or_else(|| panic!("{step} is missing, or too early:\n{calls}")).1;
        }
    }
}

#[test]
fn an_unknown_ip_family_is_refused_before_anything_is_made() {
    let fakes = Fakes::new();
    assert!(!fakes.run("kind-up", &["--ip-family", "ipx"], "").status.success());
    assert_eq!(fakes.calls(), "");
}

#[test]
fn the_smoke_test_fails_where_a_pod_is_not_seen_at_its_own_address_and_removes_its_pods() {
    let fakes = Fakes::new();
    let flat = fakes.run("smoke", &["kubectl"], "");
    assert!(String::from_utf8_lossy(&flat.stdout).contains("flat: 2 pods, 10 requests"), "{flat:?}");
    let translated = fakes.run("smoke", &["kubectl"], "fd31::1");
    let said = String::from_utf8_lossy(&translated.stderr).into_owned();
    assert!(!translated.status.success() && said.contains("one (fd00:10:244:1::2) saw one at fd31::1"), "{said}");
    assert_eq!(fakes.calls().matches("delete --filename").count(), 2);
}
