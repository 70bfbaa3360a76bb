//! The faults: each lasts until it is lifted.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use podlan_conformance::lab::{eventually, has_strace};

use super::fault::{Fault, Lift};
use super::fuse::hang;
use super::rig::{CONFIGS, LEASES, NODES, Rig};

const RUN: &str = "/run/podlan";

/// A fault without any particulars.
const PLAIN: Fault = Fault {
    name: "",
    named: &[],
    serves_others: true,
    arguments: &[],
    prepare: |_| Ok(()),
    begin: |_| Ok(Box::new(|| {})),
};

pub(crate) fn all() -> Vec<Fault> {
    vec![
        Fault {
            name: "full-run",
            named: &["failed to write /run/podlan/", "file system full"],
            prepare: |rig| disk(rig, RUN),
            begin: |rig| fill(rig, RUN),
            ..PLAIN
        },
        Fault {
            name: "full-leases",
            serves_others: false,
            prepare: |rig| disk(rig, LEASES),
            begin: |rig| fill(rig, LEASES),
            ..PLAIN
        },
        Fault {
            name: "no-descriptors",
            named: &["(os error 24)"],
            serves_others: false,
            // Each round of probes gives back the ports of the one before.
            arguments: &["--probe", "off"],
            begin: no_descriptors,
            ..PLAIN
        },
        Fault { name: "no-threads", begin: no_threads, ..PLAIN },
        Fault {
            name: "lock-held",
            named: &["leases of broken", "lock"],
            prepare: broken_network,
            begin: hold_lock,
            ..PLAIN
        },
        Fault { name: "stores-damaged", named: &DAMAGED, prepare: many_networks, begin: damage, ..PLAIN },
        Fault { name: "objects-odd", begin: odd_objects, ..PLAIN },
        Fault {
            name: "fifo-in-nodes",
            named: &["fifo.json"],
            begin: |rig| fifos(rig, &[&format!("{NODES}/fifo.json")]),
            ..PLAIN
        },
        Fault {
            name: "fifo-in-configs",
            named: &["00-fifo.conf"],
            begin: |rig| fifos(rig, &[&format!("{CONFIGS}/00-fifo.conf")]),
            ..PLAIN
        },
        Fault {
            name: "fifos-elsewhere",
            begin: |rig| {
                fifos(rig, &["/run/podlan/kept.json", "/run/podlan/fifo", "/run/netns/fifo", &format!("{LEASES}/fifo")])
            },
            ..PLAIN
        },
        Fault { name: "hung-nodes", named: &["has been stuck", NODES], begin: hang_nodes, ..PLAIN },
        Fault {
            name: "hung-configs",
            named: &["has been stuck", CONFIGS],
            begin: |rig| hang(rig.node.place(), CONFIGS),
            ..PLAIN
        },
        Fault { name: "hung-run", begin: |rig| hang(rig.node.place(), RUN), ..PLAIN },
        Fault {
            name: "hung-leases",
            named: &["has been stuck", LEASES],
            serves_others: false,
            begin: |rig| hang(rig.node.place(), LEASES),
            ..PLAIN
        },
        Fault {
            name: "hung-store",
            named: &["leases of broken", "does not answer"],
            prepare: broken_network,
            begin: |rig| hang(rig.node.place(), &format!("{LEASES}/broken")),
            ..PLAIN
        },
    ]
}

/// Faults that exist when the agent starts.
pub(crate) fn at_start() -> Vec<Fault> {
    vec![
        Fault {
            name: "full-run at the start",
            named: &["failed to write /run/podlan/node.json", "file system full"],
            prepare: |rig| disk(rig, RUN).and_then(|()| fill(rig, RUN)).map(drop_lift),
            ..PLAIN
        },
        Fault {
            name: "fifos in the run directory at the start",
            prepare: |rig| {
                let names = ["node.json", "kept.json", "verdicts.json"].map(|name| format!("{RUN}/{name}"));
                fifos(rig, &names.each_ref().map(String::as_str)).map(drop_lift)
            },
            ..PLAIN
        },
        Fault {
            name: "a store damaged at the start",
            named: &["leases of cut"],
            prepare: |rig| many_networks(rig).and_then(|()| damage(rig)).map(drop_lift),
            ..PLAIN
        },
    ]
}

/// The fault lasts as long as the node.
fn drop_lift(lift: Lift) {
    drop(lift);
}

/// A small file system of its own.
fn disk(rig: &Rig<'_>, at: &str) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let made = rig.node.place().enter(|| mount(Some("disk"), at, Some("tmpfs"), flags, Some("size=2m,mode=700")));
    made.map_err(|error| error.to_string())?.map_err(|errno| format!("mount a disk at {at}: {errno}"))
}

/// Fills a file system to the last byte.
fn fill(rig: &Rig<'_>, at: &str) -> Result<Lift, String> {
    let (place, path) = (rig.node.place().clone(), PathBuf::from(at).join("ballast"));
    place
        .enter(|| {
            let mut ballast = File::create(&path).unwrap();
            while ballast.write(&[0; 4096]).is_ok_and(|count| count > 0) {}
        })
        .map_err(|error| error.to_string())?;
    Ok(Box::new(move || place.enter(|| fs::remove_file(&path)).unwrap().unwrap()))
}

/// The list changes on a file system that hangs: the watch reports the change, and reading the list blocks.
fn hang_nodes(rig: &Rig<'_>) -> Result<Lift, String> {
    let lift = hang(rig.node.place(), NODES)?;
    // The lab sees the files below the mount.
    let list = rig.path(&format!("{NODES}/nodes.json"));
    fs::read(&list).and_then(|text| fs::write(&list, text)).map_err(|error| error.to_string())?;
    Ok(lift)
}

/// Lowers the limit to the lowest number that is free.
fn no_descriptors(rig: &Rig<'_>) -> Result<Lift, String> {
    let of_agent = |what: &str| PathBuf::from(format!("/proc/{}/{what}", rig.pid()));
    let limits = fs::read_to_string(of_agent("limits")).map_err(|error| error.to_string())?;
    let before = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    let before = before.split_whitespace().next().unwrap_or("1024").to_owned();
    // A client of the agent, or a look at the node, has it for a moment.
    let lowest = |_| {
        thread::sleep(Duration::from_millis(50));
        (0..).find(|number| fs::symlink_metadata(of_agent(&format!("fd/{number}"))).is_err()).unwrap_or(0)
    };
    let free = (0..40).map(lowest).min();
    let limit =
        |most: &str| rig.node.command("prlimit").args(["--pid", &rig.pid().to_string(), &format!("--nofile={most}:")]);
    limit(&free.unwrap_or(0).to_string()).succeeds().map_err(|error| error.to_string())?;
    let lift = limit(&before);
    // The process may have ended.
    Ok(Box::new(move || drop(lift.run())))
}

/// Every new thread is refused.
fn no_threads(rig: &Rig<'_>) -> Result<Lift, String> {
    if !has_strace() {
        return Err("SKIP no strace here".to_owned());
    }
    let refuse = ["-f", "-q", "-e", "trace=clone,clone3", "-e", "inject=clone,clone3:error=EAGAIN", "-p"];
    let mut strace = rig
        .node
        .command("strace")
        .args(refuse)
        .arg(rig.pid().to_string())
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = format!("/proc/{}/status", rig.pid());
    let traced = eventually(Duration::from_secs(30), "strace is attached to the agent", || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        if status.contains("TracerPid:\t0\n") && strace.is_running() { Err(strace.stderr()) } else { Ok(()) }
    });
    traced.map_err(|error| error.to_string())?;
    if !strace.is_running() {
        return Err(format!("strace ended: {}", strace.stderr()));
    }
    Ok(Box::new(move || {
        strace.stop(Duration::from_secs(5)).ok();
    }))
}

/// A network with a pod that ended, whose lease is dead.
fn network(rig: &Rig<'_>, name: &str) -> Result<(), String> {
    let config = rig.network(name);
    let pod = rig.node.pod(&format!("of-{name}")).map_err(|error| error.to_string())?;
    pod.add(&config).and_then(|_| pod.remove()).map_err(|error| error.to_string())
}

fn broken_network(rig: &Rig<'_>) -> Result<(), String> {
    let config = rig.network("broken");
    for number in 0..3 {
        let pod = rig.node.pod(&format!("of-broken-{number}")).map_err(|error| error.to_string())?;
        pod.add(&config).map_err(|error| error.to_string())?;
        rig.mortal.borrow_mut().push(pod);
    }
    Ok(())
}

/// A stopped process holds the lock of a store that has a dead lease.
fn hold_lock(rig: &Rig<'_>) -> Result<Lift, String> {
    let lock = File::open(rig.path(&format!("{LEASES}/broken/lock"))).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if let Some(pod) = rig.mortal.borrow_mut().pop() {
        pod.remove().map_err(|error| error.to_string())?;
    }
    Ok(Box::new(move || drop(lock)))
}

const KINDS: [&str; 6] = ["flipped", "cut", "empty", "foreign", "folder", "pipe"];
const DAMAGED: [&str; 6] =
    ["/flipped/store", "/cut/store", "/empty/store", "/foreign/store", "/folder/store", "/pipe/store"];

fn many_networks(rig: &Rig<'_>) -> Result<(), String> {
    KINDS.iter().try_for_each(|name| network(rig, name))
}

/// Damages each store in another way.
fn damage(rig: &Rig<'_>) -> Result<Lift, String> {
    let store = |name: &str| rig.path(&format!("{LEASES}/{name}/store"));
    let mut saved = Vec::new();
    for name in KINDS {
        let path = store(name);
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        fs::remove_file(&path).unwrap();
        match name {
            "flipped" => {
                let mut bytes = bytes.clone();
                bytes.iter_mut().skip(5).step_by(97).for_each(|byte| *byte ^= 1);
                fs::write(&path, bytes).unwrap();
            }
            "cut" => fs::write(&path, &bytes[..1000]).unwrap(),
            "empty" => fs::write(&path, "").unwrap(),
            "foreign" => fs::write(&path, [0xff; 4096]).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => mkfifo(&path, Mode::S_IRWXU).unwrap(),
        }
        saved.push((path, bytes));
    }
    Ok(Box::new(move || {
        for (path, bytes) in saved {
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }))
}

/// Objects that other programs may create in the kernel, one of each kind, with unusual attributes. Kinds that this
/// kernel does not have are left out, but the alias that is not UTF-8 never is.
fn odd_objects(rig: &Rig<'_>) -> Result<Lift, String> {
    let ip = |words: &[&[u8]]| {
        rig.node
            .command("ip")
            .args(words.iter().map(|word| OsStr::from_bytes(word)))
            .succeeds()
            .map_err(|error| error.to_string())
    };
    let split = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let say = |line: &str| ip(&split(line).iter().map(Vec::as_slice).collect::<Vec<_>>());
    say("link add odd0 type bridge")?;
    ip(&[b"link", b"set", b"odd0", b"alias", b"caf\xe9 \xff\xfe"])?;
    ip(&[b"link", b"set", b"eth0", b"alias", b"uplink \xff"])?;
    ip(&[b"link", b"add", b"od\xff1", b"type", b"bridge"])?;
    ip(&[b"link", b"property", b"add", b"dev", b"odd0", b"altname", b"alt\xff\xfename"])?;
    say("link set odd0 up")?;
    for line in [
        "address add 192.0.2.9/24 dev odd0 label odd0:x proto 77",
        "route add 198.51.100.0/24 encap ip id 7 dst 192.0.2.1 dev odd0",
        "route add 198.51.101.0/24 encap mpls 100/200 via 192.0.2.1 dev odd0",
        "route add fd99::/64 encap seg6 mode encap segs fd98::1 dev odd0",
        "route add 198.51.102.0/24 nexthop via 192.0.2.1 dev odd0 nexthop via 192.0.2.2 dev odd0 weight 3",
        "nexthop add id 7 via 192.0.2.3 dev odd0",
        "nexthop add id 8 blackhole",
        "nexthop add id 9 group 7",
        "route add 198.51.103.0/24 nhid 7",
        "rule add pref 31000 iif odd0 fwmark 7/15 uidrange 1-9 ipproto udp sport 1-9 lookup 77",
        "neighbour add 192.0.2.77 lladdr 02:00:00:00:00:77 dev odd0 protocol 77",
        "neighbour add proxy 192.0.2.78 dev odd0",
        "addrlabel add prefix fd97::/64 label 77",
        "link add odd2 type vlan id 7 link odd0",
        "link add odd3 type vxlan id 7 dev odd0 dstport 4789",
    ] {
        say(line).ok();
    }
    let command = |line: &str| rig.node.command("ip").args(line.split(' '));
    let undo = ["link del odd0", "rule del pref 31000", "addrlabel del prefix fd97::/64 label 77", "nexthop flush"];
    let undo: Vec<_> = undo.iter().map(|line| command(line)).collect();
    let odd_name = rig.node.command("ip").args([&b"link"[..], b"del", b"od\xff1"].map(OsStr::from_bytes));
    Ok(Box::new(move || {
        undo.into_iter().chain([odd_name]).for_each(|command| drop(command.run()));
    }))
}

/// Fifos without a writer.
fn fifos(rig: &Rig<'_>, paths: &[&str]) -> Result<Lift, String> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| rig.path(path)).collect();
    let before: Vec<Option<Vec<u8>>> = paths.iter().map(|path| fs::read(path).ok()).collect();
    for path in &paths {
        fs::remove_file(path).ok();
        mkfifo(path, Mode::S_IRWXU).map_err(|errno| format!("{}: {errno}", path.display()))?;
    }
    Ok(Box::new(move || {
        for (path, before) in paths.into_iter().zip(before) {
            fs::remove_file(&path).ok();
            if let Some(bytes) = before {
                fs::write(&path, bytes).unwrap();
            }
        }
    }))
}
