//! Taking over from the real host-local: what it leased is ours, with its owners, and nothing is given twice.
//! Needs the reference plugins: their absence is a loud skip on a laptop and a failure where CI=true.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ipam::{Error, Proof, Range, RangeSet, Require, StoreError, Want};
use migration::Imported;
use serde_json::json;

use crate::call::{Net, addresses, has, owner, verdict};

const HOST_LOCAL: &str = "/usr/lib/cni/host-local";
const SUBNETS: &[&str] = &["10.1.2.0/24", "2001:db8:1::/64"];

fn has_host_local() -> bool {
    has("test", &["-x", HOST_LOCAL], "host-local is missing (apt-get install containernetworking-plugins)")
}

/// The same network as host-local has it, beside ours.
struct Theirs {
    net: Net,
}

impl Theirs {
    fn new() -> Self {
        let mut net = Net::new(SUBNETS);
        net.config["cniVersion"] = json!("1.0.0");
        net.config["ipam"]["type"] = json!("host-local");
        net.config["ipam"]["dataDir"] = json!(net.home.path().join("networks"));
        Self { net }
    }

    fn directory(&self) -> PathBuf {
        self.net.home.path().join("networks/net")
    }

    fn call(&self, verb: &str, id: &str) -> Vec<std::net::IpAddr> {
        let child = self.net.start(self.net.command(Path::new(HOST_LOCAL), verb, id));
        let result = verdict(&child.wait_with_output().unwrap()).unwrap_or_else(|error| panic!("{verb} {id}: {error}"));
        if result.is_null() { Vec::new() } else { addresses(&result) }
    }

    /// Every file: what it holds, when it was written.
    fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let entries = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path());
        let state = |path: &PathBuf| (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
        entries.map(|path| (path.clone(), state(&path))).collect()
    }
}

fn want(subnets: &[&str]) -> Want {
    let set =
        |subnet: &&str| RangeSet::new(vec![Range::new(subnet.parse().unwrap(), None, None, None).unwrap()]).unwrap();
    let sets: Vec<_> = subnets.iter().map(set).collect();
    Want::new(&sets, &[], Duration::from_secs(120), Require::Both).unwrap()
}

/// Every owner lives.
fn all(_: &cni::Attachment) -> Option<Proof> {
    Some(Proof::default())
}

fn import(net: &Net, directory: &Path) -> Result<Imported, Error> {
    migration::import(&net.place(), &want(SUBNETS), directory, &all)
}

#[test]
fn only_owners_that_somebody_vouches_for_come_over_and_a_rehearsal_changes_nothing() {
    if !has_host_local() {
        return;
    }
    let (net, theirs) = (Net::new(SUBNETS), Theirs::new());
    let given: Vec<_> = (1..=3).map(|number| theirs.call("ADD", &format!("c{number}"))).collect();
    let proof = Proof { host_link: Some("veth2".to_owned()), netns: "/run/netns/c2".into(), ..Proof::default() };
    let second = |who: &cni::Attachment| (*who == owner("c2")).then(|| proof.clone());
    let rehearsed = migration::dry_run(&net.place(), &want(SUBNETS), &theirs.directory(), &second).unwrap();
    assert!(!net.place().directory().exists());
    let imported = migration::import(&net.place(), &want(SUBNETS), &theirs.directory(), &second).unwrap();
    let addresses = |leases: &[ipam::Lease]| leases.iter().map(|lease| lease.address.ip()).collect::<Vec<_>>();
    assert_eq!(addresses(&imported.leases), given[1]);
    assert_eq!((addresses(&rehearsed.leases), &rehearsed.left), (given[1].clone(), &imported.left));
    assert_eq!(imported.left.len(), 4, "{imported:?}");
    let held = ipam::leases(&net.place()).unwrap();
    assert!(held.len() == 2 && held.iter().all(|lease| lease.proof == proof), "{held:?}");
    let again = migration::dry_run(&net.place(), &want(SUBNETS), &theirs.directory(), &second).unwrap();
    assert_eq!((again.leases.len(), again.known.len()), (0, 2));
}

#[test]
fn what_host_local_leased_is_ours_with_its_owners() {
    if !has_host_local() {
        return;
    }
    let (net, theirs) = (Net::new(SUBNETS), Theirs::new());
    let given: Vec<_> = (1..=6).map(|number| theirs.call("ADD", &format!("c{number}"))).collect();
    theirs.call("DEL", "c2");
    theirs.call("DEL", "c6");
    let files = theirs.files();
    let imported = import(&net, &theirs.directory()).unwrap();
    assert!(imported.refused.is_empty() && imported.known.is_empty(), "{imported:?}");
    assert_eq!(imported.leases.len(), 8);
    for number in [1, 3, 4, 5] {
        let mut held = ipam::leases_of(&net.place(), &owner(&format!("c{number}"))).unwrap();
        held.sort_by_key(|lease| lease.address.ip());
        let addresses: Vec<_> = held.iter().map(|lease| lease.address.ip()).collect();
        assert_eq!(addresses, given[number - 1], "c{number}");
        assert_eq!(net.call("CHECK", &format!("c{number}")), Ok(json!(null)));
    }
    assert_eq!(import(&net, &theirs.directory()).unwrap().known.len(), 8, "done again, it has nothing to do");
    assert_eq!(theirs.files(), files, "host-local's directory was written to");
    // As below host-local: an owner that has an address gets an error, a new one gets what comes next there.
    let again = net.call("ADD", "c3").unwrap_err();
    assert_eq!(again["code"], 102);
    let text = again["msg"].as_str().unwrap();
    assert!(text.ends_with(" has been allocated to c3, duplicate allocation is not allowed"), "{text}");
    assert_eq!(net.add("c7"), theirs.call("ADD", "c7"));
    net.call("DEL", "c3").unwrap();
    assert_eq!(net.audit().leases.len(), 8);
    assert!(net.audit().released.contains(&given[2][0]));
    // Nobody gets an address that a pod of host-local's has.
    let more: HashSet<_> = (10..60).flat_map(|number| net.add(&format!("c{number}"))).collect();
    assert!([0, 3, 4].iter().all(|number| given[*number].iter().all(|address| !more.contains(address))));
}

/// host-local changes nothing while it is read, and is not waited for without end.
#[test]
fn host_locals_own_lock_is_held() {
    let (net, theirs) = (Net::new(SUBNETS), Theirs::new());
    fs::create_dir_all(theirs.directory()).unwrap();
    fs::write(theirs.directory().join("10.1.2.2"), "c1\r\neth0").unwrap();
    let lock = theirs.directory().join("lock");
    assert_eq!(import(&net, &theirs.directory()).unwrap().leases.len(), 1);
    assert!(!lock.exists(), "a lock was made in host-local's directory");
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let place = ipam::Place { lock_timeout: Duration::from_millis(50), ..net.place() };
    let error = migration::import(&place, &want(SUBNETS), &theirs.directory(), &all).unwrap_err();
    assert!(matches!(&error, Error::Store(StoreError::LockBusy { path, .. }) if *path == lock), "{error}");
    drop(held);
    assert_eq!(import(&net, &theirs.directory()).unwrap().known.len(), 1);
    // Until it is done: here it waits for the lock of ours.
    let ours = fs::File::open(net.place().directory().join("lock")).unwrap();
    ours.lock().unwrap();
    let theirs_lock = fs::File::open(&lock).unwrap();
    let is_held = || match theirs_lock.try_lock() {
        Ok(()) => theirs_lock.unlock().map(|()| false).unwrap(),
        Err(error) => matches!(error, fs::TryLockError::WouldBlock),
    };
    std::thread::scope(|scope| {
        let importing = scope.spawn(|| import(&net, &theirs.directory()).unwrap());
        let deadline = Instant::now() + Duration::from_secs(5);
        while !is_held() {
            assert!(Instant::now() < deadline, "host-local's lock was never taken");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(is_held(), "host-local's lock was let go before the leases were ours");
        drop(ours);
        assert_eq!(importing.join().unwrap().known.len(), 1);
    });
}

/// A config that only changed its `type` kept the dataDir: both then have one directory and one lock.
#[test]
fn one_directory_for_both_is_no_obstacle() {
    if !has_host_local() {
        return;
    }
    let theirs = Theirs::new();
    let given = theirs.call("ADD", "c1");
    let mut net = Net::new(SUBNETS);
    net.config["ipam"]["dataDir"] = theirs.net.config["ipam"]["dataDir"].clone();
    let network = cni::NetworkName::parse("net").unwrap();
    let place = ipam::Place::new(theirs.directory().parent().unwrap(), network);
    for known in [0, 2] {
        let imported = migration::import(&place, &want(SUBNETS), &theirs.directory(), &all).unwrap();
        assert_eq!((imported.known.len(), imported.leases.len(), imported.refused.len()), (known, 2 - known, 0));
    }
    assert_eq!(net.call("CHECK", "c1"), Ok(json!(null)));
    assert_ne!(net.add("c2"), given);
}

#[test]
fn what_host_local_did_not_write_is_named_and_left() {
    let (net, theirs) = (Net::new(SUBNETS), Theirs::new());
    let error = import(&net, &theirs.directory()).unwrap_err().to_string();
    assert!(error.starts_with("list ") && error.contains("/networks/net: No such file"), "{error}");
    fs::create_dir_all(theirs.directory().join("10.1.2.9")).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(theirs.directory().join(name), bytes).unwrap();
    put("10.1.2.2", b"c1\r\neth0");
    put("10.1.2.3", b"");
    put("10.1.2.4", &[0xff; 200]);
    put("10.1.2.5", &[b'c'; 10_000]);
    put("notes.txt", b"c5\r\neth0");
    std::os::unix::fs::symlink("10.1.2.2", theirs.directory().join("10.1.2.6")).unwrap();
    nix::unistd::mkfifo(&theirs.directory().join("10.1.2.7"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let imported = import(&net, &theirs.directory()).unwrap();
    assert_eq!(imported.leases.len(), 1);
    let refused =
        |refused: &migration::Refused| format!("{}: {}", refused.file.file_name().unwrap().display(), refused.why);
    assert_eq!(
        imported.refused.iter().map(refused).collect::<Vec<_>>(),
        [
            "10.1.2.3: it is empty (was host-local killed while it wrote it?)",
            "10.1.2.4: it names no container and interface",
            "10.1.2.5: it names no container and interface",
            "10.1.2.6: it is not a regular file",
            "10.1.2.7: it is not a regular file",
            "10.1.2.9: it is not a regular file",
            "notes.txt: its name is no address",
        ]
    );
}

/// As many as a /16 holds.
#[test]
fn sixty_five_thousand_leases_come_in_at_once() {
    let (net, theirs) = (Net::new(&["10.1.0.0/16"]), Theirs::new());
    fs::create_dir_all(theirs.directory()).unwrap();
    for number in 0..65_000u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a01_0002 + number);
        fs::write(theirs.directory().join(address.to_string()), format!("{number:064x}\r\neth0")).unwrap();
    }
    fs::write(theirs.directory().join("last_reserved_ip.0"), "10.1.255.0").unwrap();
    let begun = Instant::now();
    let imported = migration::import(&net.place(), &want(&["10.1.0.0/16"]), &theirs.directory(), &all).unwrap();
    let took = begun.elapsed();
    assert_eq!((imported.leases.len(), imported.refused.len()), (65_000, 0));
    assert_eq!(net.audit().leases.len(), 65_000);
    assert_eq!(net.add("next")[0].to_string(), "10.1.255.1");
    println!("65,000 leases taken over in {took:?}");
    assert!(took < Duration::from_secs(120), "{took:?}");
}
