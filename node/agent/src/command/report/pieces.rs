//! What the archive holds, piece by piece. A piece that cannot be collected does not stop the others.

use std::fs;

use facts::Facts;
use facts::observe::{Places, observe};
use inspect::doctor::checks;
use inspect::doctor::report::Report;
use inspect::status::Status;
use serde::Serialize;
use state::Clocks;
use state::control::{self, Command};

use super::{Piece, redact, tables};
use crate::command::{leases, status};
use state::release::version;

/// Settings of the kernel that decide whether pods' packets pass.
const SETTINGS: [&str; 12] = [
    "kernel/osrelease",
    "kernel/version",
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "net/bridge/bridge-nf-call-iptables",
];

/// Everything.
pub(super) fn collect(places: &Places) -> Vec<Piece> {
    let facts = observe(places);
    let text = |text: Result<String, String>| text.map(|text| redact::text(&text).into_bytes());
    let mut pieces: Vec<Piece> = vec![
        ("versions.txt".into(), text(Ok(versions(places)))),
        ("kernel.txt".into(), text(Ok(kernel()))),
        ("doctor.json".into(), doctor(&facts)),
        ("status.json".into(), status(places)),
        ("links.txt".into(), text(tables::links(&facts))),
        ("addresses.txt".into(), text(tables::addresses(&facts))),
        ("routes.txt".into(), text(tables::routes(&facts))),
        ("rules.txt".into(), text(tables::ip(&["rule"]))),
        ("neighbours.txt".into(), text(tables::ip(&["neigh"]))),
        ("nftables.txt".into(), text(tables::nft())),
        ("leases.json".into(), leases(places)),
        ("log.txt".into(), text(log(places))),
        ("metrics.txt".into(), text(asked(places, Command::Metrics).and_then(|said| parsed::<String>(&said)))),
    ];
    pieces.extend(configurations(&facts));
    pieces
}

/// JSON without credentials, for people too.
fn json(value: impl Serialize) -> Result<Vec<u8>, String> {
    let mut value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    redact::json(&mut value);
    serde_json::to_vec_pretty(&value).map_err(|error| error.to_string())
}

fn versions(places: &Places) -> String {
    let mut text = format!("podlan-node {}\n", version());
    for name in install::BINARIES {
        let path = places.bin_dir.join(name).display().to_string();
        let said = tables::run(&path, &["--version"]).unwrap_or_else(|why| format!("{why}\n"));
        text += &format!("{path}: {said}");
    }
    text
}

fn kernel() -> String {
    let read = |name: &str| {
        let value = fs::read_to_string(format!("/proc/sys/{name}"));
        format!("{name} = {}\n", value.map_or_else(|error| format!("({error})"), |text| text.trim().to_owned()))
    };
    let mut text: String = SETTINGS.iter().map(|name| read(name)).collect();
    let has = |has: bool| if has { "yes" } else { "no" };
    text += &format!("IPv6: {}\n", has(netlink::kernel_has_v6()));
    let opened = nftables::Nfnetlink::requests().map_or_else(|error| error.to_string(), |_| "yes".to_owned());
    text += &format!("nf_tables socket: {opened}\n");
    text
}

fn doctor(facts: &Facts) -> Result<Vec<u8>, String> {
    json(Report { done: Vec::new(), fixed: false, outcomes: checks::judge(facts) }.answer(version()))
}

fn status(places: &Places) -> Result<Vec<u8>, String> {
    let (state, unanswered) =
        status::read(&places.run_dir).map_err(|error| format!("{error} (is the agent running?)"))?;
    let lines = places.run_dir.read_verdicts().unwrap_or_default();
    let found = status::find(&lines);
    json(Status::new(&state, state.is_stale(Clocks::now()), &lines, &found).unanswered(unanswered).by(version()))
}

fn leases(places: &Places) -> Result<Vec<u8>, String> {
    let (lines, unread) = leases::lines(places.data_dirs.clone());
    json(serde_json::json!({ "leases": lines, "unread": unread }))
}

/// The answer of the running agent.
fn asked(places: &Places, command: Command) -> Result<String, String> {
    let socket = places.run_dir.control_socket();
    control::command(&socket, command).map_err(|error| format!("no agent answers at {}: {error}", socket.display()))
}

fn parsed<T: for<'a> serde::Deserialize<'a>>(answer: &str) -> Result<T, String> {
    serde_json::from_str(answer)
        .map_err(|_| "the running agent is of another release and does not know the question".to_owned())
}

fn log(places: &Places) -> Result<String, String> {
    let lines: Vec<String> = parsed(&asked(places, Command::Log)?)?;
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// The runtime's network configurations.
fn configurations(facts: &Facts) -> Vec<Piece> {
    let files = match &facts.configurations {
        Ok(files) => files,
        Err(why) => return vec![("net.d".into(), Err(why.clone()))],
    };
    let contents = |file: &facts::Configuration| match (&file.json, &file.unread) {
        (Some(value), _) => json(value),
        (None, Some(why)) => Err(why.clone()),
        (None, None) => Err("it is not JSON, and may hold anything".to_owned()),
    };
    files.iter().map(|file| (format!("net.d/{}", file.file), contents(file))).collect()
}
