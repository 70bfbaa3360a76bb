//! Many processes at once: unique addresses, a bounded wait, nothing lost when some are killed.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use ipam::Lease;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::call::{Net, PROGRAM, addresses, has_strace, owner, verdict};

/// E-32.
#[test]
fn a_hundred_adds_at_once_get_a_hundred_addresses() {
    let net = Net::new(&["10.1.0.0/16", "2001:db8::/64"]);
    let command = |number| net.command(Path::new(PROGRAM), "ADD", &format!("c{number}"));
    let children: Vec<_> = (0..100).map(|number| net.start(command(number))).collect();
    let results = children.into_iter().map(|child| verdict(&child.wait_with_output().unwrap()).unwrap());
    let unique: HashSet<_> = results.flat_map(|result| addresses(&result)).collect();
    assert_eq!(unique.len(), 200);
    assert_eq!(net.audit().leases.len(), 200);
}

/// podlan-ipam in the middle of an ADD, stopped by SIGSTOP at its first write under the lock.
struct Stopped {
    strace: Option<Child>,
    pid: Option<Pid>,
}

impl Stopped {
    fn in_add(net: &Net, id: &str) -> Self {
        let stop = ["--trace=pwrite64", "--inject=pwrite64:signal=STOP:when=1"];
        let strace = net.start(net.traced("ADD", id, &stop));
        let mut stopped = Self { strace: Some(strace), pid: None };
        let deadline = Instant::now() + Duration::from_secs(20);
        while stopped.pid.is_none() {
            assert!(Instant::now() < deadline, "it did not stop");
            let trace = fs::read_to_string(net.trace()).unwrap_or_default();
            let line = trace.lines().find(|line| line.ends_with("--- stopped by SIGSTOP ---"));
            stopped.pid = line.map(|line| Pid::from_raw(line.split(' ').next().unwrap().parse().unwrap()));
            std::thread::sleep(Duration::from_millis(5));
        }
        stopped
    }

    fn pid(&self) -> Pid {
        self.pid.unwrap()
    }

    /// Let it go on to its end.
    fn resume(mut self) -> Output {
        kill(self.pid(), Signal::SIGCONT).unwrap();
        self.strace.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Not resumed. strace has not waited for it yet, so its id is still its own.
        if let Some(mut strace) = self.strace.take() {
            let _ = self.pid.map(|pid| kill(pid, Signal::SIGKILL));
            let _ = strace.kill();
            let _ = strace.wait();
        }
    }
}

/// How long an ADD may wait for the lock, in seconds.
const LOCK_TIMEOUT: u32 = 1;

/// How many times that all ADDs together may take on a busy machine.
const FACTOR: u32 = 60;

/// E-38, E-62, E-68: a stopped holder delays other calls until their deadline, and no longer. STATUS waits for nothing, and
/// reports the error that an ADD would have.
#[test]
fn a_stopped_lock_holder_is_named_and_waited_for_no_longer_than_allowed() {
    if !has_strace() {
        return;
    }
    let mut net = Net::new(&["10.1.0.0/24"]);
    net.add("c1");
    net.config["ipam"]["lockTimeout"] = json!(LOCK_TIMEOUT);
    let stopped = Stopped::in_add(&net, "stopped");
    let begun = Instant::now();
    let adds: Vec<_> = (2..22).map(|n| net.start(net.command(Path::new(PROGRAM), "ADD", &format!("c{n}")))).collect();
    // With a deadline beyond the test's own, STATUS would never return if it waited: the holder is stopped all the time.
    net.config["ipam"]["lockTimeout"] = json!(3600);
    let error = net.call("STATUS", "").unwrap_err();
    net.config["ipam"]["lockTimeout"] = json!(LOCK_TIMEOUT);
    assert_eq!(error["code"], 50);
    let named = format!("/net/lock is still held by process {}", stopped.pid());
    assert!(error["msg"].as_str().unwrap().contains(&named), "{error}");
    for add in adds {
        let error = verdict(&add.wait_with_output().unwrap()).unwrap_err();
        assert_eq!(error["code"], 11);
        let text = error["msg"].as_str().unwrap();
        assert!(text.contains("/net/lock is still held by process "), "{text}");
        assert!(text.contains(&format!("process {} after", stopped.pid())), "{text}");
    }
    assert!(begun.elapsed() < FACTOR * Duration::from_secs(u64::from(LOCK_TIMEOUT)), "{:?}", begun.elapsed());
    assert_eq!(net.call("DEL", "c1").unwrap_err()["code"], 11, "a lease that is there needs the lock");
    assert!(net.call("DEL", "c9").is_ok(), "one that is not does not");
    // Its lock was not taken away meanwhile, and it continues where it was stopped.
    let resumed = verdict(&stopped.resume()).unwrap();
    let held = ipam::leases_of(&net.place(), &owner("stopped")).unwrap();
    assert_eq!(addresses(&resumed), held.iter().map(address).collect::<Vec<_>>());
    assert_ne!(addresses(&resumed), net.add("c30"));
    assert_eq!(net.audit().leases.len(), 3);
}

/// Every worker adds and deletes its own; a third of the processes is killed at some moment.
/// `PODLAN_TORTURE` is the number of operations (600 by default).
#[test]
fn killed_workers_lose_nothing_that_was_reported() {
    let operations: usize = std::env::var("PODLAN_TORTURE").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    const WORKERS: usize = 8;
    let net = Net::new(&["10.1.0.0/24", "2001:db8::/64"]);
    let reported: Vec<_> = std::thread::scope(|scope| {
        let worker = |worker: usize| {
            let net = &net;
            move || work(net, worker, operations / WORKERS)
        };
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(worker(number))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let killed: usize = reported.iter().map(|(_, killed)| killed).sum();
    let audit = net.audit();
    for (held, _) in &reported {
        for (id, addresses) in held {
            let mut found: Vec<_> =
                audit.leases.iter().filter(|lease| lease.owner.container_id.as_str() == id).map(address).collect();
            found.sort();
            assert_eq!(&found, addresses, "{id}: reported and not kept");
        }
    }
    let unique: HashSet<_> = audit.leases.iter().map(address).collect();
    assert_eq!(unique.len(), audit.leases.len());
    // What was not reported is won back by DEL.
    let ids: HashSet<_> = audit.leases.iter().map(|lease| lease.owner.container_id.to_string()).collect();
    ids.iter().for_each(|id| drop(net.call("DEL", id).unwrap()));
    assert_eq!(net.audit().leases, []);
    println!("{operations} operations, {killed} killed");
}

fn address(lease: &Lease) -> std::net::IpAddr {
    lease.address.ip()
}

type Held = std::collections::BTreeMap<String, Vec<std::net::IpAddr>>;

fn work(net: &Net, worker: usize, operations: usize) -> (Held, usize) {
    let (mut held, mut killed) = (Held::new(), 0);
    let mut state = worker as u64 + 1;
    for number in 0..operations {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = state >> 33;
        let id = format!("w{worker}-{}", dice % 12);
        let verb = if held.contains_key(&id) { "DEL" } else { "ADD" };
        let child = net.start(net.command(Path::new(PROGRAM), verb, &id));
        if dice.is_multiple_of(3) {
            std::thread::sleep(Duration::from_micros(dice / 16 % 2500));
            // Only this child, which is not waited for yet: its id cannot belong to another process.
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL);
        }
        let output = child.wait_with_output().unwrap();
        if output.status.code().is_none() && output.stdout.is_empty() {
            killed += 1;
            // As a runtime does: DEL, then the attachment is over whatever happened.
            net.call("DEL", &id).unwrap_or_else(|error| panic!("DEL {id} after {number}: {error}"));
            held.remove(&id);
        } else if verb == "ADD" {
            let result = serde_json::from_slice(&output.stdout).unwrap();
            let mut addresses = addresses(&result);
            addresses.sort();
            held.insert(id, addresses);
        } else {
            held.remove(&id);
        }
    }
    (held, killed)
}
