//! What a distribution sets when it boots, on every node of the lab: a file of sysctl.d(5), applied as systemd-sysctl does at
//! boot, and as udev does to each link that appears. Only the settings of a network: the others are the machine's.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};

use super::{Error, Place};

/// Names the file; nothing is set where it is unset.
const FILE: &str = "PODLAN_LAB_SETTINGS";

const PROC: &str = "/proc/sys";

/// `RTMGRP_LINK`.
const LINKS: u32 = 1;

/// One line: a path below `/proc/sys`, in which `*` stands for any link; without a value it is left out of other lines' `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    path: String,
    value: Option<String>,
}

/// Applies the file that the environment names, if it names one.
pub(super) fn of_environment(node: &Place) -> Result<(), Error> {
    let Some(file) = std::env::var_os(FILE) else { return Ok(()) };
    let text = fs::read_to_string(&file).map_err(Error::system(format!("read {}", Path::new(&file).display())))?;
    apply(node, &text)
}

/// Applies a file's text to the network of `node`, and to each link that appears on it for as long as this process runs.
pub(super) fn apply(node: &Place, text: &str) -> Result<(), Error> {
    let settings = parse(text);
    // The events before the first look, so that no link falls between.
    let applied = node.enter(|| -> std::io::Result<_> {
        let (events, seen) = (listen()?, links()?);
        write(&settings, |_| true)?;
        Ok((events, seen))
    })?;
    let (events, seen) = applied.map_err(Error::system(format!("apply settings to {}", node.name())))?;
    let node = node.clone();
    thread::spawn(move || node.enter(|| follow(&events, seen, &settings)));
    Ok(())
}

/// As udev's rule for each link that is added.
fn follow(events: &OwnedFd, mut seen: BTreeSet<String>, settings: &[Setting]) -> std::io::Result<()> {
    loop {
        match recv(events.as_raw_fd(), &mut [0; 1 << 16], MsgFlags::empty()) {
            // Some were dropped: what is there now is looked at all the same.
            Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let now = links()?;
        for link in now.difference(&seen) {
            // It may be gone already.
            let _ = write(settings, |of| of == Some(link.as_str()));
        }
        seen = now;
    }
}

fn listen() -> std::io::Result<OwnedFd> {
    let close = SockFlag::SOCK_CLOEXEC;
    let events = socket(AddressFamily::Netlink, SockType::Raw, close, SockProtocol::NetlinkRoute)?;
    bind(events.as_raw_fd(), &NetlinkAddr::new(0, LINKS))?;
    Ok(events)
}

fn links() -> std::io::Result<BTreeSet<String>> {
    let entries = fs::read_dir(Path::new(PROC).join("net/ipv4/conf"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Writes the settings of the links that `concerns` names; it is asked for None where a setting has no link.
fn write(settings: &[Setting], concerns: impl Fn(Option<&str>) -> bool) -> std::io::Result<()> {
    let links = links()?;
    let named: BTreeSet<&str> = settings.iter().map(|setting| setting.path.as_str()).collect();
    for Setting { path, value } in settings {
        let Some(value) = value else { continue };
        let paths: Vec<String> = match path.contains('*') {
            true => {
                links.iter().map(|link| path.replace('*', link)).filter(|one| !named.contains(one.as_str())).collect()
            }
            false => vec![path.clone()],
        };
        for one in paths.iter().filter(|one| concerns(link_of(one))) {
            match fs::write(Path::new(PROC).join(one), value) {
                // This kernel has no such setting, or the link is gone.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                written => written?,
            }
        }
    }
    Ok(())
}

/// The link of a path such as `net/ipv4/conf/LINK/forwarding`; none of `all` and `default`.
fn link_of(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["net", _, "conf" | "neigh", link, _] if link != "all" && link != "default" => Some(link),
        _ => None,
    }
}

/// The settings of networks in a file of sysctl.d(5).
fn parse(text: &str) -> Vec<Setting> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let settings = lines.map(|line| {
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None => (line, None),
        };
        let key = key.strip_prefix('-').unwrap_or(key);
        // The first separator tells which one the line uses.
        let dotted = key.find(['.', '/']).is_some_and(|at| key[at..].starts_with('.'));
        let swap = |letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        let path = if dotted { key.chars().map(swap).collect() } else { key.to_owned() };
        Setting { path, value }
    });
    settings.filter(|setting| setting.path.starts_with("net/")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_sysctl_d_says() {
        let text = "# comment\n;another\nkernel.panic = 1\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n\
                    net/ipv4/conf/eth0.5/forwarding=1\n-net.ipv4.ping_group_range = 0 2147483647\nnet.ipv4.conf.eth0/5.forwarding = 0\n";
        let setting = |path: &str, value: Option<&str>| Setting { path: path.into(), value: value.map(str::to_owned) };
        let expected = [
            setting("net/ipv4/conf/*/rp_filter", Some("2")),
            setting("net/ipv4/conf/all/rp_filter", None),
            setting("net/ipv4/conf/eth0.5/forwarding", Some("1")),
            setting("net/ipv4/ping_group_range", Some("0 2147483647")),
            setting("net/ipv4/conf/eth0.5/forwarding", Some("0")),
        ];
        assert_eq!(parse(text), expected);
        assert_eq!(link_of("net/ipv4/conf/eth0.5/forwarding"), Some("eth0.5"));
        assert_eq!(link_of("net/ipv4/conf/all/forwarding"), None);
    }
}
