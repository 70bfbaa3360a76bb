//! Input of any size and depth is answered in bounded memory and time, by the plugins (stdin) and by the agent (its
//! nodes file).

use std::time::Duration;

use podlan_conformance::lab::{Command, Error, Lab, Node, binaries, eventually, skip, within};
use serde_json::Value;

/// 768 MiB of address space, and 20 seconds of CPU time.
const LIMITS: [&str; 2] = ["--as=805306368", "--cpu=20"];

/// The longest stdin that is read (`cni::STDIN_CAP`).
const MOST: usize = 16 << 20;

fn has_prlimit() -> bool {
    let found = std::process::Command::new("prlimit").arg("--version").output().is_ok();
    if !found {
        skip("prlimit is missing (Debian: apt-get install util-linux)");
    }
    found
}

fn limited(command: Command) -> Command {
    command.under("prlimit", LIMITS)
}

/// `open`, then `unit` repeated up to `length` bytes, then `close`.
fn filled(open: &str, unit: &str, close: &str, length: usize) -> Vec<u8> {
    let count = (length - open.len() - close.len()) / unit.len();
    [open, &unit.repeat(count), close].concat().into_bytes()
}

/// Inputs, each with the code of the expected error.
fn inputs() -> Vec<(&'static str, Vec<u8>, u64)> {
    const HEAD: &str = r#"{"cniVersion":"1.0.0","name":"net","type":"podlan","other":"#;
    vec![
        ("64 MiB of nothing", filled("", " ", "", 64 << 20), 6),
        ("a string of 64 MiB", filled("{\"name\":\"", "a", "\"}", 64 << 20), 6),
        ("16 MiB of small numbers", filled(&format!("{HEAD}["), "0,", "0]}", MOST), 7),
        ("16 MiB of empty objects", filled(&format!("{HEAD}["), "{},", "0]}", MOST), 7),
        ("20,000 arrays in each other", "[".repeat(20_000).into_bytes(), 6),
        ("20,000 objects in each other", "{\"a\":".repeat(20_000).into_bytes(), 6),
        ("20,000 arrays in a value", format!("{HEAD}{}", "[".repeat(20_000)).into_bytes(), 6),
    ]
}

#[test]
fn a_plugin_answers_any_amount_of_input_in_bounded_memory_and_time() {
    within(|| {
        if !has_prlimit() {
            return Ok(());
        }
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        for program in ["podlan", "podlan-ipam"] {
            for (what, stdin, code) in inputs() {
                let call = node
                    .command(binaries::find(program)?)
                    .env("CNI_COMMAND", "ADD")
                    .env("CNI_CONTAINERID", "c1")
                    .env("CNI_NETNS", "/run/netns/c1")
                    .env("CNI_IFNAME", "eth0");
                // The report of a failure is printed without its 64 MiB.
                let output = limited(call).stdin(stdin).run().map_err(|_| never(program, what))?;
                let error: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
                assert_eq!(error["code"], code, "{program}, {what}: {:?} {}", output.status, output.stdout);
            }
        }
        Ok(())
    });
}

fn never(program: &str, what: &str) -> Error {
    let fact = format!("{program} answers {what}");
    Error::Never { fact, deadline: podlan_conformance::lab::DEADLINE, seen: "still running".to_owned() }
}

/// Texts that are no valid nodes file, but that a file may hold.
fn nodes_files() -> Vec<(&'static str, String)> {
    let bomb = (1..=9).fold("x0: &x0 [a, a, a, a, a, a, a, a, a]\n".to_owned(), |text, level| {
        let alias = format!("*x{}", level - 1);
        text + &format!("x{level}: &x{level} [{}]\n", vec![alias; 9].join(", "))
    });
    vec![
        ("20,000 arrays in JSON", format!("{{\"items\":{}", "[".repeat(20_000))),
        ("20,000 sequences in YAML", format!("items: {}", "[".repeat(20_000))),
        ("20,000 mappings in YAML", (0..20_000).map(|depth| format!("{}a:\n", " ".repeat(depth % 500))).collect()),
        ("aliases of aliases", format!("{bomb}items: *x9\n")),
    ]
}

fn source_error(node: &Node) -> Result<String, String> {
    let text = std::fs::read_to_string(node.path("/run/podlan/node.json")).map_err(|error| error.to_string())?;
    let state: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(state["source"]["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn an_agent_survives_any_nodes_file_in_bounded_memory() {
    within(|| {
        if !has_prlimit() {
            return Ok(());
        }
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut agent = limited(node.command(binaries::find("podlan-node")?).args([
            "run",
            "--node-name",
            node.name(),
            "--nodes",
            Lab::NODES_FILE,
            "--log-level",
            "warn",
        ]))
        .spawn()?;
        for (what, text) in nodes_files() {
            lab.write_nodes(&text)?;
            eventually(Duration::from_secs(20), &format!("{what} is refused"), || match source_error(node)? {
                error if error.is_empty() => Err("no error yet".to_owned()),
                _ => Ok(()),
            })?;
            assert!(agent.is_running(), "{what}: {}", agent.stderr());
            lab.list(&[node])?;
            eventually(Duration::from_secs(20), "a valid file ends the error", || match source_error(node)? {
                error if error.is_empty() => Ok(()),
                error => Err(error),
            })?;
        }
        assert!(agent.is_running(), "{}", agent.stderr());
        Ok(())
    });
}
