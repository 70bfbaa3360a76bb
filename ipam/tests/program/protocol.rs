//! The face: verbs, results and errors of the real program.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::call::{Net, PROGRAM, has, owner, verdict};

/// H-067, S-121: no interfaces, routes echoed, the subnet's prefix and the range's gateway.
#[test]
fn an_add_prints_what_host_local_prints() {
    let mut net = Net::new(&["10.1.2.0/24", "2001:db8:1::/64"]);
    net.config["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.1"}]);
    let result = net.call("ADD", "c1").unwrap();
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!(result["interfaces"], Value::Null);
    assert_eq!(result["ips"][0], json!({"address": "10.1.2.2/24", "gateway": "10.1.2.1"}));
    assert_eq!(result["ips"][1], json!({"address": "2001:db8:1::2/64", "gateway": "2001:db8:1::1"}));
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.1"}]));
}

/// H-069, H-070, H-084, H-103, H-105, E-24, E-29, E-59, E-60, E-70.
#[test]
fn the_verbs_keep_to_their_contract() {
    let mut net = Net::new(&["10.1.2.0/30"]);
    assert_eq!(net.call("DEL", "c1"), Ok(Value::Null));
    assert_eq!(net.call("STATUS", ""), Ok(Value::Null));
    assert!(!net.place().data_dir.exists(), "neither DEL nor STATUS makes a store");
    net.add("c1");
    net.config["prevResult"] = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.2/30"}]});
    assert_eq!(net.call("CHECK", "c1"), Ok(Value::Null));
    assert_eq!(net.call("CHECK", "c2").unwrap_err()["code"], 105);
    let again = net.call("ADD", "c1").unwrap_err();
    assert_eq!(again["code"], 102);
    assert_eq!(again["msg"], "10.1.2.2 has been allocated to c1, duplicate allocation is not allowed");
    let full = net.call("ADD", "c2").unwrap_err();
    assert_eq!(full["code"], 11);
    assert_eq!(full["msg"], "no IP addresses available in range set: 10.1.2.1-10.1.2.2");
    assert_eq!(net.call("STATUS", "").unwrap_err()["code"], 50);
    net.config["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    assert_eq!(net.call("GC", ""), Ok(Value::Null));
    assert_eq!(net.audit().leases.len(), 1);
    net.config["cni.dev/valid-attachments"] = Value::Null;
    assert_eq!(net.call("GC", ""), Ok(Value::Null));
    assert_eq!(net.audit().leases.len(), 0);
    assert_eq!(net.call("DEL", "c1"), Ok(Value::Null));
}

/// E-35, E-68, E-75.
#[test]
fn a_damaged_store_is_refused_with_its_line_and_never_reset() {
    let net = Net::new(&["10.1.2.0/24"]);
    net.add("c1");
    let store = net.place().store();
    let mut bytes = fs::read(&store).unwrap();
    bytes[30] ^= 1;
    fs::write(&store, &bytes).unwrap();
    let error = net.call("ADD", "c2").unwrap_err();
    assert_eq!(error["code"], 103);
    assert!(error["msg"].as_str().unwrap().contains("/net/store is damaged at line 1:"), "{error}");
    assert_eq!(net.call("STATUS", "").unwrap_err()["code"], 50);
    assert_eq!(fs::read(&store).unwrap(), bytes);
}

/// E-39.
#[test]
fn a_lock_that_is_a_symlink_is_refused() {
    let net = Net::new(&["10.1.2.0/24"]);
    fs::create_dir_all(net.place().directory()).unwrap();
    let lock = net.place().directory().join("lock");
    std::os::unix::fs::symlink("/etc/hostname", &lock).unwrap();
    let error = net.call("ADD", "c1").unwrap_err();
    assert_eq!(error["code"], 5);
    assert!(error["msg"].as_str().unwrap().contains("lock is a symlink"), "{error}");
    assert_eq!(net.call("DEL", "c1"), Ok(Value::Null), "nothing recorded, nothing to lock");
}

/// E-37: a result that nobody reads was not given.
#[test]
fn a_broken_stdout_takes_the_lease_back() {
    let net = Net::new(&["10.1.2.0/24"]);
    let mut command = net.command(Path::new(PROGRAM), "ADD", "c1");
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer);
    drop(reader);
    let child = net.start(command);
    assert!(!child.wait_with_output().unwrap().status.success());
    assert_eq!(net.audit().leases, []);
}

/// E-74, D-04.
#[test]
fn version_answers_though_stdin_stays_open() {
    let net = Net::new(&["10.1.2.0/24"]);
    let begun = Instant::now();
    let mut child = net.command(Path::new(PROGRAM), "VERSION", "").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b" ").unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(text.contains("supportedVersions"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    drop(stdin);
}

/// E-25, H-068.
#[test]
fn networks_and_interfaces_keep_apart() {
    let net = Net::new(&["10.1.2.0/24"]);
    let other = Net {
        config: {
            let mut config = net.config.clone();
            config["name"] = json!("other");
            config
        },
        ..net.copy()
    };
    net.add("c1");
    other.add("c1");
    other.call("DEL", "c1").unwrap();
    assert_eq!(ipam::leases_of(&net.place(), &owner("c1")).unwrap().len(), 1);
}

/// E-34: on a read-only file system DEL succeeds where nothing is recorded, and says why where something is.
#[test]
fn a_read_only_file_system_is_named_and_needs_no_lease() {
    if !has("unshare", &["-Urm", "true"], "no user and mount namespaces for unshare(1)") {
        return;
    }
    let net = Net::new(&["10.1.2.0/24"]);
    net.add("c1");
    // In a mount namespace of its own, so that nobody else sees the file system turn read-only.
    let within = |verb: &str, id: &str| {
        let script = "mount --bind \"$DATA\" \"$DATA\" && mount -o remount,bind,ro \"$DATA\" && exec \"$PROGRAM\"";
        let mut command = net.command(Path::new("unshare"), verb, id);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DATA", &net.place().data_dir).env("PROGRAM", PROGRAM);
        command.args(["-Urm", "sh", "-c", script]);
        verdict(&net.start(command).wait_with_output().unwrap())
    };
    let add = within("ADD", "c2").unwrap_err();
    assert_eq!(add["code"], 5);
    assert!(add["msg"].as_str().unwrap().contains("ead-only file system"), "{add}");
    let del = within("DEL", "c1").unwrap_err();
    assert_eq!(del["code"], 5);
    assert!(del["msg"].as_str().unwrap().contains("ead-only file system"), "{del}");
    assert_eq!(within("DEL", "c9"), Ok(Value::Null));
    assert_eq!(within("STATUS", "").unwrap_err()["code"], 50);
    assert_eq!(net.audit().leases.len(), 1);
}
