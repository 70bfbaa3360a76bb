//! scripts/kind-up, scripts/apply, scripts/uninstall and scripts/smoke with a docker, nerdctl, podman, kind and kubectl that only write down how they are
//! called: no registry, no cluster. The commands are checked; scripts/test-kind shows what a cluster does with them.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Writes down each call and its stdin. As kubectl it has two pods, and the server in each reports the client address
/// in `SEEN`, or by default that of the asking pod. The Service refuses `REFUSALS` requests; the pods come up unless
/// `MUTE` is set; those of docker, nerdctl and podman that `DEAD` names have no daemon. The agents' image is `IMAGE`; no node is cleaned up
/// where `STUCK` is set.
const FAKE: &str = r#"#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
case "$(basename "$0") $*" in
    *" info") [[ " $DEAD " != *" $(basename "$0") "* ]] ;;
    "kind create"*) echo "by $KIND_EXPERIMENTAL_PROVIDER" >>"$CALLS" && cat >>"$CALLS" ;;
    *"rollout status daemonset/podlan-smoke"*) [ -z "$MUTE" ] ;;
    *"rollout status daemonset/podlan-cleanup"*) [ -z "$STUCK" ] ;;
    *"apply --filename -") grep image: >>"$CALLS" ;;
    *"get daemonset/podlan "*) printf %s "$IMAGE" ;;
    *"logs "*) echo "[pod/podlan-cleanup-a] removed" ;;
    *"get events"*) echo "Failed to pull image" ;;
    *"get pods"*"--output name") printf 'pod/podlan-a\npod/podlan-b\n' ;;
    *"get pods"*"--output wide") echo "one ImagePullBackOff" ;;
    *"get pods"*) printf 'one 10.244.1.2 fd00:10:244:1::2\ntwo 10.244.2.2 fd00:10:244:2::2\n' ;;
    *"get service"*) printf 10.96.0.7 ;;
    *"exec "*"http://10.96.0.7:80/"*)
        [ "$(grep -c "exec .*http://10.96.0.7:80/" "$CALLS")" -gt "${REFUSALS:-0}" ] || exit 7
        ;;
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
        for name in ["docker", "nerdctl", "podman", "kind", "kubectl", "podlan", "podlan-ipam", "podlan-node"] {
            let path = home.path().join(name);
            fs::write(&path, FAKE).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { home }
    }

    fn run(&self, script: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let script = scripts().join(script);
        let path = format!("{}:{}", self.home.path().display(), std::env::var("PATH").unwrap());
        let folder = self.home.path();
        let mut command = Command::new(script);
        command.args(words).env("PATH", path).env("CALLS", folder.join("calls"));
        command.env_remove("KIND_EXPERIMENTAL_PROVIDER").envs(variables.iter().copied());
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
        let done = fakes.run("kind-up", &["--ip-family", family], &[]);
        assert!(done.status.success(), "{done:?}");
        let calls = fakes.calls();
        let steps = [
            "kind create cluster --name podlan --config -",
            "disableDefaultCNI: true",
            &format!("ipFamily: {family}\n"),
            "kubeProxyMode: iptables\n",
            "apiServerAddress: 127.0.0.1\n",
            "kind load image-archive",
            "kubectl --context kind-podlan apply --filename deploy/kubernetes/podlan.yaml",
            "rollout status daemonset/podlan",
            "wait --for condition=Ready nodes --all",
            "apply --filename deploy/smoke/smoke.yaml",
            "exec one -- curl",
            "delete --filename deploy/smoke/smoke.yaml",
            "exec pod/podlan-a -- podlan-node status",
            "exec pod/podlan-b -- podlan-node status",
        ];
        let mut rest = calls.as_str();
        for step in steps {
            rest = rest.split_once(step).unwrap_or_else(|| panic!("{step} is missing, or too early:\n{calls}")).1;
        }
    }
}

#[test]
fn kind_up_takes_the_node_image_other_images_and_arguments_of_kind() {
    let fakes = Fakes::new();
    let archive = fakes.home.path().join("agnhost.tar");
    fs::write(&archive, "").unwrap();
    let archive = archive.to_str().unwrap();
    let words = ["--image", "node:v1", "--load", archive, "--name", "other", "--", "--retain", "--wait", "1s"];
    let done = fakes.run("kind-up", &words, &[]);
    assert!(done.status.success(), "{done:?}");
    let calls = fakes.calls();
    let create = "kind create cluster --name other --image node:v1 --retain --wait 1s --config -";
    assert!(calls.contains(create), "{calls}");
    assert!(calls.contains(&format!("kind load image-archive {archive} --name other")), "{calls}");

    let missing = fakes.run("kind-up", &["--load", "/no/such/archive"], &[]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

#[test]
fn kind_up_runs_nodes_with_the_first_provider_that_answers_or_the_one_that_is_asked_for() {
    for (dead, asked, takes) in
        [("", "", "docker"), ("docker", "", "nerdctl"), ("docker nerdctl", "", "podman"), ("docker", "finch", "finch")]
    {
        let fakes = Fakes::new();
        let done = fakes.run("kind-up", &[], &[("DEAD", dead), ("KIND_EXPERIMENTAL_PROVIDER", asked)]);
        assert!(done.status.success(), "{done:?}");
        assert!(fakes.calls().contains(&format!("\nby {takes}\n")), "{dead} {asked}: {}", fakes.calls());
    }
    let fakes = Fakes::new();
    let none = fakes.run("kind-up", &[], &[("DEAD", "docker nerdctl podman")]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(!none.status.success() && said.contains("none of docker, nerdctl and podman answers"), "{said}");
    assert!(!fakes.calls().contains("kind create"), "{}", fakes.calls());
}

#[test]
fn without_kube_proxy_the_agents_ask_the_control_plane_and_no_service_is_asked() {
    let fakes = Fakes::new();
    let done = fakes.run("kind-up", &["--kube-proxy", "none"], &[]);
    assert!(done.status.success(), "{done:?}");
    let calls = fakes.calls();
    assert!(calls.contains("kubeProxyMode: none\n"), "{calls}");
    assert!(calls.contains("daemonset/podlan CONTROL_PLANE_ENDPOINT=podlan-control-plane:6443"), "{calls}");
    assert!(calls.contains("exec one") && !calls.contains("http://10.96.0.7"), "{calls}");
}

#[test]
fn an_unknown_ip_family_is_refused_before_anything_is_made() {
    let fakes = Fakes::new();
    assert!(!fakes.run("kind-up", &["--ip-family", "ipx"], &[]).status.success());
    assert_eq!(fakes.calls(), "");
}

#[test]
fn the_smoke_test_fails_where_a_pod_is_not_seen_at_its_own_address_and_removes_its_pods() {
    let fakes = Fakes::new();
    let flat = fakes.run("smoke", &["kubectl"], &[]);
    assert!(String::from_utf8_lossy(&flat.stdout).contains("flat: 2 pods, 10 requests"), "{flat:?}");
    let translated = fakes.run("smoke", &["kubectl"], &[("SEEN", "fd31::1")]);
    let said = String::from_utf8_lossy(&translated.stderr).into_owned();
    assert!(!translated.status.success() && said.contains("one (fd00:10:244:1::2) saw one at fd31::1"), "{said}");
    assert_eq!(fakes.calls().matches("delete --filename").count(), 2);
}

#[test]
fn the_smoke_test_asks_a_service_again_that_has_no_endpoints_yet() {
    let fakes = Fakes::new();
    let flat = fakes.run("smoke", &["kubectl"], &[("REFUSALS", "3")]);
    assert!(String::from_utf8_lossy(&flat.stdout).contains("flat: 2 pods, 10 requests"), "{flat:?}");
    assert_eq!(fakes.calls().matches("http://10.96.0.7:80/").count(), 3 + 2);
}

#[test]
fn the_smoke_test_prints_its_pods_and_the_warnings_where_they_do_not_come_up() {
    let fakes = Fakes::new();
    let mute = fakes.run("smoke", &["kubectl"], &[("MUTE", "yes")]);
    let said = String::from_utf8_lossy(&mute.stderr).into_owned();
    assert!(!mute.status.success(), "{mute:?}");
    assert!(said.contains("one ImagePullBackOff") && said.contains("Failed to pull image"), "{said}");
    assert!(fakes.calls().ends_with("delete --filename deploy/smoke/smoke.yaml --ignore-not-found --wait=false\n"));
}

#[test]
fn the_pods_of_the_smoke_test_run_on_control_plane_nodes_too() {
    let manifest = fs::read_to_string(scripts().join("../deploy/smoke/smoke.yaml")).unwrap();
    assert!(manifest.contains("tolerations:\n      - operator: Exists\n"), "{manifest}");
}

#[test]
fn apply_and_uninstall_use_the_image_of_a_registry() {
    let fakes = Fakes::new();
    let image = "registry.example/podlan:1.2.3";
    let done = fakes.run("apply", &["--image", image, "kubectl"], &[]);
    assert!(done.status.success(), "{done:?}");
    assert!(
        fakes.calls().contains(&format!("kubectl apply --filename -\n        image: {image}\n")),
        "{}",
        fakes.calls()
    );

    let own = "localhost/podlan:".to_owned() + env!("CARGO_PKG_VERSION");
    // By default that of the agents; where an earlier call removed them, that of the manifest.
    for (words, of_agents, used) in
        [(vec!["--image", image], "", image), (vec![], image, image), (vec![], "", own.as_str())]
    {
        let fakes = Fakes::new();
        let done = fakes.run("uninstall", &words, &[("IMAGE", of_agents)]);
        assert!(done.status.success(), "{done:?}");
        let calls = fakes.calls();
        assert!(calls.contains(&format!("kubectl apply --filename -\n        image: {used}\n")), "{calls}");
    }
}

#[test]
fn uninstall_removes_the_agents_first_prints_every_line_of_every_node_and_keeps_a_cleanup_that_is_not_done() {
    let fakes = Fakes::new();
    let done = fakes.run("uninstall", &[], &[]);
    assert!(done.status.success(), "{done:?}");
    let calls = fakes.calls();
    let mut rest = calls.as_str();
    for step in [
        "delete --filename deploy/kubernetes/podlan.yaml",
        "apply --filename -",
        "rollout status daemonset/podlan-cleanup",
        "logs --prefix --tail=-1 --selector app.kubernetes.io/name=podlan-cleanup",
        "delete --filename deploy/kubernetes/cleanup/cleanup.yaml",
    ] {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("{step} is missing, or too early:\n{calls}")).1;
    }
    assert!(String::from_utf8_lossy(&done.stdout).contains("[pod/podlan-cleanup-a] removed"), "{done:?}");

    let fakes = Fakes::new();
    let stuck = fakes.run("uninstall", &[], &[("STUCK", "yes")]);
    let said = String::from_utf8_lossy(&stuck.stderr).into_owned();
    assert!(!stuck.status.success() && said.contains("not every node is done"), "{stuck:?}");
    assert!(String::from_utf8_lossy(&stuck.stdout).contains("removed"), "{stuck:?}");
    assert!(!fakes.calls().contains("delete --filename deploy/kubernetes/cleanup"), "{}", fakes.calls());
}
