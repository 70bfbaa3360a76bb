//! The Helm chart: the manifest again with the defaults, every value in its place, and nothing that is not a value.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::manifests::{container, deployed, objects};
use crate::release::{VERSION, named, script, succeeds};

/// A chart that scripts/chart made now.
fn chart(folder: &Path) -> PathBuf {
    script("chart", &["--output", folder.join("podlan.tgz").to_str().unwrap()]).into()
}

struct Helm {
    program: PathBuf,
    chart: PathBuf,
    _folder: tempfile::TempDir,
}

impl Helm {
    /// Without helm the test is set aside.
    fn new() -> Option<Self> {
        let (program, folder) = (named("PODLAN_HELM")?, tempfile::tempdir().unwrap());
        Some(Self { program, chart: chart(folder.path()), _folder: folder })
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut helm = Command::new(&self.program);
        helm.args(["template", "podlan"]).arg(&self.chart).args(["--namespace", "kube-system"]).args(words);
        helm.output().unwrap()
    }

    #[track_caller]
    fn objects(&self, words: &[&str]) -> Vec<Value> {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        objects(&String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn a_chart_is_the_same_each_time_and_has_the_version_of_podlan() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = chart(one.path());
    assert!(fs::read(&first).unwrap() == fs::read(chart(other.path())).unwrap(), "made twice, it differs");
    let file = |name: &str| {
        succeeds(
            Command::new("tar").args(["--extract", "--to-stdout", "--file"]).arg(&first).arg(format!("podlan/{name}")),
        )
    };
    let about = file("Chart.yaml");
    for key in ["version", "appVersion"] {
        assert!(about.contains(&format!("\n{key}: {VERSION}\n")), "{about}");
    }
    // Each value of the manifest that is a value of the chart has left the template.
    let template = file("templates/podlan.yaml") + &file("templates/cleanup.yaml");
    for fixed in ["localhost/podlan", "kube-system\n", "127.0.0.1", "- --masquerade", "memory:", "path: /opt/cni/bin,"]
    {
        assert!(!template.contains(fixed), "{fixed} is in the template:\n{template}");
    }
    assert!(file("values.yaml").contains("\n  repository: localhost/podlan\n"));
    script(
        "chart",
        &["--output", one.path().join("named.tgz").to_str().unwrap(), "--image", "registry.example:5000/podlan"],
    );
    let named = one.path().join("named.tgz");
    let values = succeeds(Command::new("tar").args(["-xOf"]).arg(named).arg("podlan/values.yaml"));
    assert!(values.contains("\n  repository: registry.example:5000/podlan\n"), "{values}");
}

#[test]
fn with_its_defaults_the_chart_is_the_manifest() {
    let Some(helm) = Helm::new() else { return };
    succeeds(Command::new(&helm.program).args(["lint", "--strict"]).arg(&helm.chart));
    assert_eq!(helm.objects(&[]), deployed("podlan.yaml"));
    assert_eq!(helm.objects(&["--set", "cleanup=true"]), deployed("cleanup/cleanup.yaml"));
}

/// The arguments of the agent, without those that every installation has.
fn options(objects: &[Value]) -> Vec<String> {
    let args: Vec<String> = serde_json::from_value(container(objects)["args"].clone()).unwrap();
    let always = ["run", "--kubernetes", "--cni-bin-dir=/opt/cni/bin", "--cni-conf-dir=/etc/cni/net.d"];
    assert_eq!(args[..4], always);
    args[4..].to_vec()
}

fn variable(objects: &[Value], name: &str) -> Value {
    let all = container(objects)["env"].as_array().unwrap();
    all.iter().find(|variable| variable["name"] == name).map_or(Value::Null, |variable| variable["value"].clone())
}

#[test]
fn every_value_of_the_chart_is_in_its_place() {
    let Some(helm) = Helm::new() else { return };
    for (set, wanted) in [
        ("masquerade.enabled=false", vec![]),
        (
            "masquerade.exclude={192.0.2.0/24,2001:db8::/32}",
            vec!["--masquerade", "--no-masquerade-to=192.0.2.0/24", "--no-masquerade-to=2001:db8::/32"],
        ),
        ("chain={portmap,bandwidth}", vec!["--masquerade", "--chain=portmap", "--chain=bandwidth"]),
        ("probes.enabled=false", vec!["--masquerade", "--probe=off"]),
        ("probes.port=10222,probes.rate=50", vec!["--masquerade", "--probe-port=10222", "--probe-rate=50"]),
        ("extraArgs={--mtu=1400}", vec!["--masquerade", "--mtu=1400"]),
    ] {
        assert_eq!(options(&helm.objects(&["--set", set])), wanted, "{set}");
    }
    for (listen, host, port) in
        [("0.0.0.0:9000", "127.0.0.1", 9000), ("[::]:9000", "::1", 9000), ("192.0.2.1:80", "192.0.2.1", 80)]
    {
        let objects = helm.objects(&["--set-string", &format!("listen={listen}")]);
        assert_eq!(variable(&objects, "PODLAN_LISTEN"), listen);
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            assert_eq!(
                container(&objects)[probe]["httpGet"],
                json!({"host": host, "port": port, "path": path}),
                "{listen}"
            );
        }
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    for (set, image) in [
        ("image.repository=registry.example/podlan".to_owned(), format!("registry.example/podlan:{VERSION}")),
        ("image.tag=next".to_owned(), "localhost/podlan:next".to_owned()),
        (format!("image.digest={digest}"), format!("localhost/podlan@{digest}")),
    ] {
        // The cleanup has the same image.
        for cleanup in ["false", "true"] {
            let objects = helm.objects(&["--set", &set, "--set", &format!("cleanup={cleanup}")]);
            assert_eq!(container(&objects)["image"], image);
        }
    }
    let objects = helm.objects(&[
        "--set",
        "imagePullSecrets[0].name=key,apiServer=[fd00::1]:6443,image.pullPolicy=Always,cni.binDir=/var/lib/cni/bin",
        "--set",
        "resources.limits.memory=256Mi,seccompProfile.type=Localhost,seccompProfile.localhostProfile=podlan-node.json",
    ]);
    let pod = &objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "key"}]));
    assert_eq!(variable(&objects, "CONTROL_PLANE_ENDPOINT"), "[fd00::1]:6443");
    let container = container(&objects);
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
    assert_eq!(container["securityContext"]["seccompProfile"]["localhostProfile"], "podlan-node.json");
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["hostPath"]["path"] == "/var/lib/cni/bin"), "{volumes:?}");
    // The path inside of the container stays: the conflist names those of the node.
    assert!(container["volumeMounts"].to_string().contains("/opt/cni/bin"), "{container}");
}

#[test]
fn a_value_that_does_not_exist_or_cannot_be_is_refused() {
    let Some(helm) = Helm::new() else { return };
    for set in [
        "masquerade=true",
        "masquerad.enabled=false",
        "chain={tuning}",
        "probes.port=0",
        "probes.rate=5",
        "listen=here",
        "image.digest=sha256:1",
        "image.pullPolicy=Sometimes",
        "cni.binDir=bin",
        "cleanup=yes",
        "extraArgs={two words}",
    ] {
        let refused = helm.run(&["--set", set]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("schema"), "{set}: {refused:?}");
    }
}
