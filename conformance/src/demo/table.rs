//! The tables: which host asked which, and at which address it was seen. Pure.

use std::fmt::Write;

use super::paths::{Tried, is_asked};
use super::stage::Host;
use crate::traffic::{Answer, Protocol};

/// How many broken paths are listed one by one.
const LISTED: usize = 12;

/// Draws it: a row for each client with its IPv4 address (the picture has them all), a column for each server.
pub(super) fn draw(hosts: &[Host], tried: &[Tried]) -> String {
    let name = width(hosts.iter().map(|host| host.name.as_str()));
    let owns: Vec<String> =
        hosts.iter().map(|host| host.own.first().map_or_else(String::new, ToString::to_string)).collect();
    let own = width(owns.iter().map(String::as_str));
    let mut text = String::new();
    write!(text, "  {:<w$}", "from \\ to", w = name + 2 + own).ok();
    for server in hosts {
        write!(text, "{:>w$}", server.name, w = server.name.len() + 2).ok();
    }
    text.push('\n');
    for (client, host) in hosts.iter().enumerate() {
        write!(text, "  {:<name$}  {:<own$}", host.name, owns[client]).ok();
        for (server, other) in hosts.iter().enumerate() {
            write!(text, "{:>w$}", cell(tried, client, server, is_asked(host, other)), w = other.name.len() + 2).ok();
        }
        text.push('\n');
    }
    text.push_str("\n  6: TCP, UDP and ICMP, over IPv4 and IPv6, each seen at the client's own address\n");
    broken(&mut text, hosts, tried);
    text
}

/// Draws what the servers saw of the first host over TCP: a line for each server and family.
pub(super) fn seen(hosts: &[Host], tried: &[Tried]) -> String {
    let shown: Vec<&Tried> = tried
        .iter()
        .filter(|one| one.client == 0 && hosts[one.server].is_pod && one.report.target.protocol == Protocol::Tcp)
        .collect();
    let asked: Vec<String> = shown.iter().map(|one| one.report.target.address.to_string()).collect();
    let (name, address) = (width(hosts.iter().map(|host| host.name.as_str())), width(asked.iter().map(String::as_str)));
    let own: Vec<String> = hosts.first().map_or(&[][..], |host| &host.own).iter().map(ToString::to_string).collect();
    let mut text = format!("  {} is {}\n\n", hosts.first().map_or("", |host| &host.name), own.join(" and "));
    for (one, asked) in shown.iter().zip(&asked) {
        let saw = match &one.report.answer {
            Answer::Saw(address) => format!("saw {address}"),
            Answer::Silent(why) => format!("no answer: {why}"),
        };
        let (mark, client, server) =
            (if one.kept { '✓' } else { '✗' }, &hosts[one.client].name, &hosts[one.server].name);
        writeln!(text, "  {mark} {client} to {server:<name$} at {asked:<address$}  {server:<name$} {saw}").ok();
    }
    text
}

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(str::len).max().unwrap_or(0)
}

fn cell(tried: &[Tried], client: usize, server: usize, is_asked: bool) -> String {
    if !is_asked {
        return "·".into();
    }
    let here = || tried.iter().filter(|one| one.client == client && one.server == server);
    let (kept, all) = (here().filter(|one| one.kept).count(), here().count());
    if kept == all { all.to_string() } else { format!("{kept}/{all}") }
}

fn broken(text: &mut String, hosts: &[Host], tried: &[Tried]) {
    let broken: Vec<&Tried> = tried.iter().filter(|one| !one.kept).collect();
    for one in broken.iter().take(LISTED) {
        let (client, target) = (&hosts[one.client].name, one.report.target);
        let what = match &one.report.answer {
            Answer::Saw(address) => format!("saw {address}"),
            Answer::Silent(why) => format!("no answer: {why}"),
        };
        writeln!(text, "  ✗ {client} to {} by {target}: {what}", hosts[one.server].name).ok();
    }
    if broken.len() > LISTED {
        writeln!(text, "  ✗ and {} more", broken.len() - LISTED).ok();
    }
}
