//! What the kernel has, as text: links, addresses and routes by podlan's own reading, which needs no program; rules, neighbours
//! and nf_tables as ip(8) and nft(8) print them, where those are installed.

use std::process::{Command, Stdio};

use facts::Facts;
use netlink::{Address, Socket};
use serde_json::Value;

/// Links, and their settings that podlan judges.
pub(super) fn links(facts: &Facts) -> Result<String, String> {
    let kernel = facts.kernel.as_ref().map_err(Clone::clone)?;
    let line = |link: &netlink::Link| {
        let mac: Vec<String> = link.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "{}: {}{}{} mtu {} group {} mac {} alias {}\n",
            link.name,
            if link.up { "up" } else { "down" },
            if link.carrier { ", carrier" } else { ", no carrier" },
            if link.operational { ", operational" } else { "" },
            link.mtu,
            link.group,
            mac.join(":"),
            link.alias
        )
    };
    Ok(kernel.links.iter().map(line).collect())
}

/// The addresses of all links.
pub(super) fn addresses(facts: &Facts) -> Result<String, String> {
    let kernel = facts.kernel.as_ref().map_err(Clone::clone)?;
    let mut socket = Socket::open().map_err(|error| error.to_string())?;
    let all = socket
        .dump(Address::dump(0), |message| Address::from_message(&message))
        .map_err(|error| format!("failed to {error}"))?;
    let name = |index| kernel.links.iter().find(|link| link.index == index).map_or("?", |link| link.name.as_str());
    let scope = |link_scope| if link_scope { "link" } else { "global" };
    let line = |at: &Address| format!("{} dev {} scope {}\n", at.address, name(at.device), scope(at.link_scope));
    Ok(all.iter().map(line).collect())
}

/// The routes of the main table.
pub(super) fn routes(facts: &Facts) -> Result<String, String> {
    let kernel = facts.kernel.as_ref().map_err(Clone::clone)?;
    Ok(kernel.routes.iter().map(|route| kernel.shown(route) + "\n").collect())
}

/// What ip(8) prints for both families.
pub(super) fn ip(arguments: &[&str]) -> Result<String, String> {
    let of = |family: &str| run("ip", &[&[family], arguments].concat());
    Ok(format!("{}{}", of("-4")?, of("-6").unwrap_or_default()))
}

/// podlan's nf_tables tables as a whole, and of other tables the chains at hooks that pods' packets pass. Sets of other
/// programs are left out (`--terse`): they hold addresses that nothing of podlan's depends on.
pub(super) fn nft() -> Result<String, String> {
    let listed: Value =
        serde_json::from_str(&run("nft", &["-j", "list", "chains"])?).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut tables = std::collections::BTreeSet::new();
    for chain in listed["nftables"].as_array().into_iter().flatten().filter_map(|object| object.get("chain")) {
        let [family, table, name] = ["family", "table", "name"].map(|key| chain[key].as_str().unwrap_or_default());
        if table.starts_with("podlan") {
            if tables.insert((family, table)) {
                text += &run("nft", &["-a", "list", "table", family, table])?;
            }
        } else if chain["hook"].is_string() {
            text += &run("nft", &["-a", "-t", "list", "chain", family, table, name])?;
        }
    }
    Ok(text)
}

/// What a program prints. It is given no environment but the usual places of programs.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!("{}: {error} (run podlan-node report as root of the node, where {program} is)", shown())
        })?;
    if !output.status.success() {
        return Err(format!("{}: {}", shown(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
