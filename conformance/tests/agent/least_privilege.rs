//! The agent with the privileges of deploy/kubernetes only: `CAP_NET_ADMIN` and no other capability, no new privileges,
//! read-only mounts except for its few directories, and the system calls of deploy/seccomp/podlan-node.json only. It
//! does all its work.
//!
//! ```text
//!   node1 (agent, confined) ──┬── node2 (in the list only)
//!     └── web                lan
//! ```

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use podlan_conformance::agent::{METRICS, metrics, routes, serves_ready, state};
use podlan_conformance::lab::{Command, Error, Lab, Node, binaries, eventually, within};

const SOON: Duration = Duration::from_secs(20);

/// The directories that deploy/kubernetes mounts.
const WRITABLE: [&str; 3] = ["/run/podlan", "/run/bin", "/run/net.d"];

fn failed(doing: &str) -> impl Fn(std::io::Error) -> Error {
    let doing = doing.to_owned();
    move |source| Error::System { doing: doing.clone(), source }
}

fn profile() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/seccomp/podlan-node.json").display().to_string()
}

/// A command with one capability, and with only its directories writable.
fn in_its_folders(node: &Node, command: Command) -> Result<Command, Error> {
    let mut read_only = vec!["read-only".to_owned()];
    for folder in WRITABLE {
        fs::create_dir_all(node.path(folder)).map_err(failed("make a folder"))?;
        read_only.extend(["--but".to_owned(), folder.to_owned()]);
    }
    read_only.push("--".to_owned());
    let one_capability = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+net_admin"];
    Ok(command.under("setpriv", one_capability).under(&binaries::lab()?.display().to_string(), read_only))
}

/// A command with the profile's system calls only.
fn filtered(command: Command) -> Result<Command, Error> {
    Ok(command.under(&binaries::lab()?.display().to_string(), ["allow", &profile(), "--"]))
}

/// `program` on a node, confined.
fn confined(node: &Node, program: &Path) -> Result<Command, Error> {
    in_its_folders(node, filtered(node.command(program))?)
}

#[test]
fn with_one_capability_three_writable_directories_and_its_seccomp_profile_the_agent_does_everything() {
    within(|| {
        let lab = Lab::new(2)?;
        let [node, _two] = lab.these();
        let podlan_node = binaries::find("podlan-node")?;
        is_confined(node)?;
        let web = node.pod("web")?;
        let dead = node.pod("dead")?;
        let at_web = web.add(&node.podnet())?;
        dead.add(&node.podnet())?;
        let agent = confined(node, &podlan_node)?
            .args(["run", "--node-name", node.name(), "--nodes", Lab::NODES_FILE, "--resync", "300ms", "--masquerade"])
            .args(["--listen", &METRICS.to_string(), "--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"])
            .spawn()?;
        eventually(SOON, "it is ready: its routes are in", || {
            serves_ready(node, METRICS).map_err(|answer| format!("{answer}\n{}", agent.stderr()))?;
            // It comes after node.json, which says that it is ready.
            let conflist = node.path("/run/net.d/10-podlan.conflist").exists();
            if conflist { Ok(()) } else { Err(format!("no conflist\n{}", agent.stderr())) }
        })?;
        let whole = routes(node)?;
        assert!(whole.len() >= 4, "{whole:?}");
        let state = state(node);
        assert_eq!(state["warnings"], serde_json::json!([]), "{}", agent.stderr());
        let process =
            fs::read_to_string(format!("/proc/{}/status", state["pid"])).map_err(failed("read its status"))?;
        let (net_admin, none) = ("0000000000001000", "0000000000000000");
        let held = [("CapEff", net_admin), ("CapPrm", net_admin), ("CapBnd", net_admin), ("CapInh", none)];
        for (field, value) in held.into_iter().chain([("NoNewPrivs", "1"), ("Seccomp", "2")]) {
            assert!(process.contains(&format!("{field}:\t{value}\n")), "{field} is not {value}: {process}");
        }
        for (path, mode) in
            [("/run/bin/podlan", 0o755), ("/run/bin/podlan-ipam", 0o755), ("/run/net.d/10-podlan.conflist", 0o644)]
        {
            // The conflist comes after the state that says that pods may come.
            let there = eventually(SOON, path, || fs::metadata(node.path(path)).map_err(|error| error.to_string()))?;
            assert_eq!(there.permissions().mode() & 0o7777, mode, "{path}");
        }
        let rules = node.command("nft").args(["list", "ruleset"]).succeeds()?;
        assert!(rules.contains("fib saddr . iif") && rules.contains("masquerade"), "{rules}");
        assert!(metrics(node).is_ok_and(|served| served.contains("podlan_")));

        // Restores a route, a rule and an installed plugin; follows the list; releases a dead lease.
        node.place().remove_route(node_two_cidr())?;
        node.command("nft").args(["flush", "ruleset"]).succeeds()?;
        fs::remove_file(node.path("/run/bin/podlan")).map_err(failed("remove a plugin"))?;
        node.place().remove_link(dead_link(node)?.as_str())?;
        dead.remove()?;
        eventually(SOON, "everything is restored", || {
            let now = routes(node).map_err(|error| error.to_string())?;
            let rules = node.command("nft").args(["list", "ruleset"]).succeeds().map_err(|error| error.to_string())?;
            let plugin = node.path("/run/bin/podlan").exists();
            let leases = command(node, &podlan_node, &["leases", "--json"]).map_err(|error| error.to_string())?;
            match now == whole && rules.contains("fib saddr") && plugin && !leases.contains("\"dead\"") {
                true => Ok(()),
                false => Err(format!("{now:?}\n{rules}\nplugin: {plugin}\n{leases}\n{}", agent.stderr())),
            }
        })?;
        // Finds by itself what is wrong, and can run every check.
        let first = node.path("/run/net.d/05-other.conflist");
        fs::write(&first, r#"{"name":"other","plugins":[{"type":"bridge"}]}"#).map_err(failed("write a conflist"))?;
        let found = eventually(SOON, "it reports the conflist that comes first", || {
            let said = podlan_conformance::agent::state(node);
            let mut kinds = said["conditions"].as_array().into_iter().flatten().map(|condition| &condition["kind"]);
            if kinds.any(|kind| kind == "conflist-not-first") { Ok(said) } else { Err(said.to_string()) }
        })?;
        // The insides of pods are for the node's root alone.
        let unknown = found["unknown"].as_array().into_iter().flatten();
        let checks: Vec<_> = unknown.map(|unknown| unknown["check"].as_str().unwrap_or_default()).collect();
        assert_eq!(checks, ["pods"], "{found}");
        fs::remove_file(&first).map_err(failed("remove a conflist"))?;
        let traced = command(node, &podlan_node, &["trace", &at_web.v4()?.to_string(), "10.244.2.2"])?;
        assert!(traced.contains("the address is kept") && traced.contains("nothing is wrong"), "{traced}");
        lab.list(&[node])?;
        eventually(SOON, "the other node's routes are withdrawn, on the operator's command", || {
            command(node, &podlan_node, &["release-withdrawal"]).map_err(|error| error.to_string())?;
            let now = routes(node).map_err(|error| error.to_string())?;
            if now.len() == whole.len() - 2 { Ok(()) } else { Err(format!("{now:?}")) }
        })?;
        assert!(command(node, &podlan_node, &["status"])?.contains("node1"));
        assert!(command(node, &podlan_node, &["leases"])?.contains(&at_web.v4()?.to_string()));
        let output = agent.stop(SOON)?;
        assert!(output.success(), "{}", output.stderr);

        web.del(&node.podnet())?;
        let cleaned = ["cleanup", "--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"];
        command(node, &podlan_node, &cleaned)?;
        assert_eq!(routes(node)?, Vec::<String>::new());
        assert!(!node.path("/run/bin/podlan").exists() && !node.path("/run/net.d/10-podlan.conflist").exists());
        Ok(())
    });
}

/// The agent asks a chained plugin for its versions by running it, with the profile's system calls too.
#[test]
fn confined_it_learns_what_a_chained_plugin_speaks() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (program, plugin) = (binaries::find("podlan-node")?, node.path("/run/bin/portmap"));
        let agent = |chained: &Path| -> Result<serde_json::Value, Error> {
            fs::create_dir_all(node.path("/run/bin")).map_err(failed("make a folder"))?;
            fs::copy(chained, &plugin).map_err(failed("copy a plugin"))?;
            let agent = confined(node, &program)?
                .args(["run", "--node-name", node.name(), "--nodes", Lab::NODES_FILE, "--chain", "portmap"])
                .args(["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"])
                .spawn()?;
            let conflist = node.path("/run/net.d/10-podlan.conflist");
            let text = eventually(SOON, "the conflist is written", || {
                fs::read_to_string(&conflist).map_err(|error| format!("{error}\n{}", agent.stderr()))
            })?;
            agent.stop(SOON)?;
            fs::remove_file(&conflist).map_err(failed("remove the conflist"))?;
            serde_json::from_str(&text).map_err(|_| Error::Unreadable { from: "the conflist".into(), said: text })
        };
        // podlan itself speaks it; a program that speaks nothing stands for an older plugin.
        let list = agent(&binaries::find("podlan")?)?;
        assert_eq!(list["cniVersions"], serde_json::json!(["0.4.0", "1.0.0", "1.1.0"]), "{list}");
        let list = agent(Path::new("/bin/true"))?;
        assert_eq!(list["cniVersions"], serde_json::json!(["0.4.0", "1.0.0"]), "{list}");
        Ok(())
    });
}

fn node_two_cidr() -> ipnetwork::IpNetwork {
    ipnetwork::IpNetwork::V4(
        ipnetwork::Ipv4Network::new(std::net::Ipv4Addr::new(10, 244, 2, 0), 24)
            .unwrap_or_else(|error| panic!("{error}")),
    )
}

/// What the confinement forbids succeeds without it: so the confinement is what forbids it.
fn is_confined(node: &Node) -> Result<(), Error> {
    let write = |file: &str| node.command("/bin/sh").args(["-c", &format!("echo x > {file}")]);
    write("/run/elsewhere").succeeds()?;
    in_its_folders(node, write("/run/podlan/own"))?.succeeds()?;
    in_its_folders(node, write("/run/elsewhere"))?.fails()?;
    let unshare = || Ok::<_, Error>(node.command(binaries::lab()?).args(["read-only", "--", "/bin/true"]));
    unshare()?.succeeds()?;
    let refused = filtered(unshare()?)?.fails()?;
    assert!(refused.stderr.contains("EPERM"), "{}", refused.stderr);
    Ok(())
}

/// The host end of the pod "dead".
fn dead_link(node: &Node) -> Result<String, Error> {
    let said = node.command("ip").args(["-o", "link", "show", "type", "veth"]).succeeds()?;
    let line = said.lines().find(|line| line.contains(" dead ")).unwrap_or_default();
    let name = line.split(' ').nth(1).unwrap_or_default().trim_end_matches(':');
    Ok(name.split('@').next().unwrap_or_default().to_owned())
}

/// The output of a command of the agent's program, confined as well.
fn command(node: &Node, podlan_node: &Path, words: &[&str]) -> Result<String, Error> {
    let output = confined(node, podlan_node)?.args(words).run()?;
    match output.success() {
        true => Ok(output.stdout),
        false => Err(output.but("it should have succeeded, confined")),
    }
}

/// Every file below a directory, with its kind and mode.
fn files(folder: &Path, into: &mut Vec<(PathBuf, fs::Metadata)>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(failed("list"))? {
        let path = entry.map_err(failed("list"))?.path();
        let there = fs::symlink_metadata(&path).map_err(failed("look"))?;
        if there.is_dir() {
            files(&path, into)?;
        }
        into.push((path, there));
    }
    Ok(())
}

/// Also under a umask that lets everybody write.
#[test]
fn podlans_own_files_are_readable_by_their_owner_only_and_runtime_files_writable_by_their_owner_only() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        for folder in ["/run/bin", "/run/net.d"] {
            fs::create_dir_all(node.path(folder)).map_err(failed("make a folder"))?;
        }
        nix::sys::stat::umask(nix::sys::stat::Mode::empty());
        let web = node.pod("web")?;
        web.add(&node.podnet())?;
        let _agent = node.agent(&["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"])?;
        eventually(SOON, "the agent is ready", || {
            let conflist = node.path("/run/net.d/10-podlan.conflist").exists();
            let word = node.path("/run/podlan/verdicts.json").exists();
            if conflist && word { Ok(()) } else { Err(format!("{conflist} {word}")) }
        })?;
        let home = node.path("/run/podlan");
        let mut all = vec![(home.clone(), fs::metadata(&home).map_err(failed("look"))?)];
        files(&home, &mut all)?;
        let names: Vec<String> =
            all.iter().filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())).collect();
        for name in ["store", "lock", "node.json", "verdicts.json", "kept.json", "node.lock", "node.sock"] {
            assert!(names.iter().any(|there| there == name), "{name} in {names:?}");
        }
        for (path, there) in all {
            // A user who can enter the directory can command the agent: not every system checks the socket's own mode.
            let most = if there.is_dir() || there.file_type().is_socket() { 0o700 } else { 0o600 };
            let mode = there.mode() & 0o7777;
            let inside = there.file_type().is_socket();
            assert!(inside || mode & !most == 0, "{} has {mode:o}", path.display());
        }
        for (path, mode) in
            [("/run/bin/podlan", 0o755), ("/run/bin/podlan-ipam", 0o755), ("/run/net.d/10-podlan.conflist", 0o644)]
        {
            let there = fs::metadata(node.path(path)).map_err(failed(path))?;
            assert_eq!(there.mode() & 0o7777, mode, "{path}");
        }
        Ok(())
    });
}

/// A user who may write in a directory of podlan (because another user made it) plants a symlink where podlan will write.
#[test]
fn no_planted_symlink_is_followed_by_the_agent_or_the_plugin() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        for folder in ["/run/bin", "/run/net.d", "/run/podlan/podnet"] {
            fs::create_dir_all(node.path(folder)).map_err(failed("make a folder"))?;
        }
        let precious = node.path("/run/precious");
        fs::write(&precious, "precious").map_err(failed("write"))?;
        let planted = [
            "podlan/.node.json.new",
            "podlan/node.json",
            "podlan/.verdicts.json.new",
            "podlan/verdicts.json",
            "podlan/.kept.json.new",
            "podlan/kept.json",
            "podlan/node.sock",
            "podlan/podnet/store.new",
            "bin/.podlan.new",
            "bin/podlan",
            "bin/podlan-ipam",
            "net.d/.10-podlan.conflist.new",
            "net.d/10-podlan.conflist",
        ];
        let plant = |name: &str| {
            let at = node.path(&format!("/run/{name}"));
            fs::remove_file(&at).ok();
            symlink("/run/precious", &at).map_err(failed("plant a link"))
        };
        planted.iter().try_for_each(|name| plant(name))?;
        let untouched = |when: &str| {
            let there = fs::read_to_string(&precious).unwrap_or_default();
            assert_eq!(there, "precious", "{when}");
            let mode = fs::metadata(&precious).map_or(0, |there| there.mode() & 0o777);
            assert_eq!(mode & 0o111, 0, "{when}");
        };
        let web = node.pod("web")?;
        web.add(&node.podnet())?;
        untouched("after an ADD");
        let agent = node.agent(&["--cni-bin-dir", "/run/bin", "--cni-conf-dir", "/run/net.d"])?;
        eventually(SOON, "the agent has written all that it writes", || {
            let own = planted.iter().filter(|name| !name.contains("/.") && !name.ends_with(".new"));
            let links: Vec<_> = own
                .filter(|name| {
                    fs::symlink_metadata(node.path(&format!("/run/{name}"))).map_or(true, |there| there.is_symlink())
                })
                .collect();
            if links.is_empty() { Ok(()) } else { Err(format!("{links:?}\n{}", agent.stderr())) }
        })?;
        untouched("after the agent");
        agent.stop(SOON)?;

        // A lock or a store that is a symlink is refused, by name.
        for name in ["podlan/node.lock", "podlan/podnet/lock", "podlan/podnet/store"] {
            plant(name)?;
            match name {
                "podlan/node.lock" => {
                    let refused = node.agent(&[])?.wait(SOON)?;
                    assert!(!refused.success() && refused.stderr.contains("node.lock"), "{}", refused.stderr);
                }
                _ => {
                    let refused = node.pod(&name.replace('/', "-"))?.cni("ADD", "eth0", &node.podnet())?.fails()?;
                    assert!(refused.complaint()?.text.contains(&format!("/run/{name}")), "{name}");
                    fs::remove_file(node.path(&format!("/run/{name}"))).map_err(failed("take it away"))?;
                }
            }
            untouched(name);
        }
        Ok(())
    });
}
