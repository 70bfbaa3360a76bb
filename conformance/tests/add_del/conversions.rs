//! Results are parsed and converted as by the reference's own types: both get thousands of valid and almost valid
//! results, and those that both accept mean the same in each version.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cni::{AddResult, SpecVersion};
use ipnetwork::IpNetwork;
use podlan_conformance::lab::skip;
use serde_json::{Value, json};

/// Results in CI; PODLAN_FUZZ_ROUNDS gives another number.
const ROUNDS: usize = 20_000;

/// A program with the reference's types, built once.
fn reference() -> Option<PathBuf> {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference-convert");
    let built = Command::new("go")
        .current_dir(harness)
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg("./convert")
        .status();
    match built {
        Ok(status) => {
            assert!(status.success(), "go build ./convert");
            Some(program)
        }
        Err(_) => {
            skip("go is missing: export PATH=$(scripts/find-go):$PATH");
            None
        }
    }
}

/// A number below `bound` (splitmix64).
fn below(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ mixed >> 31) % (bound.max(1) as u64)).unwrap()
}

/// A wrong value for a field.
fn other(state: &mut u64) -> Value {
    let texts = ["", "eth0", "4", "6", "10.0.0.5/24", "fd00::5/64", "10.0.0.1", "fe80::1", "0.0.0.0/0", "::/0"];
    let more = ["10.0.0.5", "10.0.0.5/33", "::ffff:10.0.0.1", "010.0.0.1", "02:00:00:00:00:01", "1.0.0", "0.2.0"];
    match below(state, 10) {
        0 => Value::Null,
        1 => json!([0.0, 1.0, -1.0, 1.5][below(state, 4)]),
        2 => json!([0, 1, -1, 2, 1500, 4_294_967_296_i64][below(state, 6)]),
        3 => json!([]),
        4 => json!({}),
        5 => json!(true),
        6 => json!(more[below(state, more.len())]),
        _ => json!(texts[below(state, texts.len())]),
    }
}

/// Changes one value below `value`.
fn change(value: &mut Value, state: &mut u64) {
    let stops = below(state, 4) == 0;
    match value {
        Value::Object(object) if !object.is_empty() && !stops => {
            let key = object.keys().nth(below(state, object.len())).unwrap().clone();
            if below(state, 12) == 0 {
                object.remove(&key);
            } else if let Some(inner) = object.get_mut(&key) {
                change(inner, state);
            }
        }
        Value::Array(list) if !list.is_empty() && !stops => {
            let index = below(state, list.len());
            match below(state, 6) {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                _ => change(&mut list[index], state),
            }
        }
        other_value => *other_value = other(state),
    }
}

fn results() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz/corpora/result");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Value> =
        files.iter().map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut state = number("PODLAN_FUZZ_SEED").unwrap_or(1) as u64;
    let made = (0..number("PODLAN_FUZZ_ROUNDS").unwrap_or(ROUNDS)).map(|_| {
        let mut result = seeds[below(&mut state, seeds.len())].clone();
        if below(&mut state, 2) == 0 {
            result["cniVersion"] = json!(SpecVersion::ALL[below(&mut state, 7)].as_str());
        }
        for _ in 0..below(&mut state, 4) {
            change(&mut result, &mut state);
        }
        result
    });
    seeds.iter().cloned().chain(made).collect()
}

/// Keys that are new in 1.1.0. The reference prints them in 1.0.0 too, with the same types.
const ATTRIBUTES: [&str; 7] = ["mtu", "socketPath", "pciID", "advmss", "priority", "table", "scope"];

/// A route's destination without host bits, which have no meaning: the reference keeps them, podlan does not.
fn canonical(dst: &Value) -> Value {
    let network = dst.as_str().and_then(|text| text.parse::<IpNetwork>().ok());
    network.map_or_else(|| dst.clone(), |network| json!(format!("{}/{}", network.network(), network.prefix())))
}

/// A JSON value without empty values, of which the reference prints some and podlan none, and without keys that
/// `version` does not have.
fn bare(value: &Value, version: SpecVersion) -> Value {
    let has_meaning = |key: &str, value: &Value| {
        let nothing = [Value::Null, json!(""), json!([]), json!({})].contains(value);
        !nothing && (version.has_attributes() || !ATTRIBUTES.contains(&key))
    };
    match value {
        Value::Object(object) => {
            let value_of = |key: &str, value| if key == "dst" { canonical(value) } else { bare(value, version) };
            let inner = object.iter().map(|(key, value)| (key.clone(), value_of(key, value)));
            Value::Object(inner.filter(|(key, value)| has_meaning(key, value)).collect())
        }
        Value::Array(list) => list.iter().map(|value| bare(value, version)).collect(),
        other => other.clone(),
    }
}

/// The version that a result is read in.
fn version_of(result: &Value) -> SpecVersion {
    result["cniVersion"].as_str().and_then(SpecVersion::parse).unwrap_or(SpecVersion::UNNAMED)
}

/// Each address of an old result is declared with its right family, and each route is with its family. Otherwise the
/// reference uses the declared family, and podlan the address.
fn families_are_right(result: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_v6 = |value: &Value| value.as_str().is_some_and(|text| text.contains(':'));
    let version = version_of(result);
    if version.has_address_family() {
        return list(&result["ips"]).iter().all(|ip| ip["version"] == if is_v6(&ip["address"]) { "6" } else { "4" });
    }
    let routes = |family: &str| list(&result[family]["routes"]);
    version.has_interfaces()
        || routes("ip4").iter().all(|route| !is_v6(&route["dst"]))
            && routes("ip6").iter().all(|route| is_v6(&route["dst"]))
}

/// A result with at most one address in each family, and at least one: what versions before 0.3.0 can express. With
/// more, the reference silently keeps one; with none, it prints nothing; podlan refuses both.
fn fits_old_versions(ours: &AddResult) -> bool {
    let v4 = ours.ips.iter().filter(|ip| ip.address.is_ipv4()).count();
    v4 <= 1 && ours.ips.len() - v4 <= 1 && !ours.ips.is_empty()
}

#[test]
fn results_that_podlan_and_the_reference_accept_are_the_same_in_every_version() {
    let Some(reference) = reference() else { return };
    let results = results();
    let lines: String = results.iter().map(|result| format!("{result}\n")).collect();
    let input = Path::new(env!("CARGO_TARGET_TMPDIR")).join("results.jsonl");
    fs::write(&input, &lines).unwrap();
    let said =
        Command::new(reference).stdin(fs::File::open(&input).unwrap()).stderr(Stdio::inherit()).output().unwrap();
    assert!(said.status.success());
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().count(), results.len());

    let (mut both, mut strict, mut wrong) = (0, 0, Vec::new());
    for (result, theirs) in results.iter().zip(said.lines()) {
        let theirs: Option<Vec<Option<Value>>> = serde_json::from_str(theirs).unwrap();
        let ours = AddResult::from_value(result, SpecVersion::UNNAMED);
        match (ours, theirs) {
            (Err(_), None) => {}
            (Err(_), Some(_)) => strict += 1,
            (Ok(_), None) if !families_are_right(result) => {}
            (Ok(_), None) => wrong.push(format!("only podlan takes {result}")),
            (Ok(ours), Some(theirs)) => {
                both += 1;
                let fits = fits_old_versions(&ours);
                let right = families_are_right(result);
                for (version, theirs) in SpecVersion::ALL.into_iter().zip(theirs) {
                    let ours = ours.to_json(version).ok().map(|text| serde_json::from_str::<Value>(&text).unwrap());
                    let known = version.min(version_of(result));
                    let bare = |value: &Option<Value>| value.as_ref().map(|value| bare(value, known));
                    let comparable = right && (fits || version.has_interfaces());
                    if comparable && bare(&ours) != bare(&theirs) {
                        let [ours, theirs] =
                            [ours, theirs].map(|value| value.map_or("refused".into(), |v| v.to_string()));
                        wrong.push(format!("{result}\n  as {version}\n  podlan:    {ours}\n  reference: {theirs}"));
                    }
                }
            }
        }
    }
    println!("{} results: {both} taken by both, {strict} by the reference alone", results.len());
    assert!(both > results.len() / 10, "{both}");
    let shown = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} differ:\n{shown}", wrong.len(), results.len());
}
