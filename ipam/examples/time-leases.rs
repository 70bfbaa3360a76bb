//! Time podlan-ipam and host-local as processes: `time-leases PODLAN_IPAM FILL_LEASES HOST_LOCAL WORK_DIR ROUNDS`.
//! Called by scripts/bench-ipam.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Leases in the store, and a pool that has room for as many.
const SIZES: [(u64, &str); 4] =
    [(0, "10.0.0.0/24"), (250, "10.0.0.0/23"), (65_000, "10.0.0.0/15"), (1_000_000, "10.0.0.0/11")];
/// host-local reads every lease in each ADD and DEL: beyond this many a round takes most of a second.
const PEER_MOST: u64 = 65_000;

/// A program over a store.
struct Subject {
    program: PathBuf,
    config: String,
}

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [program, fill, peer, work, rounds] = arguments.as_slice() else {
        eprintln!("usage: time-leases PODLAN_IPAM FILL_LEASES HOST_LOCAL WORK_DIR ROUNDS");
        return ExitCode::FAILURE;
    };
    match bench(program, fill, peer, work, rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("time-leases: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(program: &Path, fill: &Path, peer: &Path, work: &Path, rounds: &Path) -> Result<(), Failure> {
    let rounds: usize = rounds.display().to_string().parse()?;
    let mut subjects = Vec::new();
    for (count, subnet) in SIZES {
        let home = work.join(format!("podlan-{count}"));
        eprintln!("filling {} with {count} leases", home.display());
        let done = Command::new(fill).arg(&home).args(["net", subnet, &count.to_string()]).status()?;
        if !done.success() {
            return Err("fill-leases failed".into());
        }
        subjects.push((count, "podlan-ipam", Subject::new(program, "podlan-ipam", subnet, &home)));
        if peer.exists() && count <= PEER_MOST {
            let home = work.join(format!("host-local-{count}"));
            fill_peer(&home, count)?;
            subjects.push((count, "host-local", Subject::new(peer, "host-local", subnet, &home)));
        }
    }
    let floor = Subject::new(program, "podlan-ipam", "10.0.0.0/24", work);
    let (mut empty, mut times) = (Vec::new(), vec![(Vec::new(), Vec::new()); subjects.len()]);
    // One after another in each round, so that whatever else the machine does meets all alike.
    for round in 0..rounds {
        empty.push(floor.time("VERSION", "x")?);
        for ((count, _, subject), (adds, dels)) in subjects.iter().zip(&mut times) {
            if *count == PEER_MOST && subject.program == peer && round % 20 != 0 {
                continue;
            }
            let id = format!("{round:064x}f");
            adds.push(subject.time("ADD", &id)?);
            dels.push(subject.time("DEL", &id)?);
        }
    }
    println!("{:<12} {:>9} {:>9} {:>9}   (VERSION alone: {} us)", "", "leases", "ADD us", "DEL us", median(&mut empty));
    for ((count, name, _), (adds, dels)) in subjects.iter().zip(&mut times) {
        println!("{name:<12} {count:>9} {:>9} {:>9}", median(adds), median(dels));
    }
    for (count, name, subject) in &subjects {
        if *count == 0 {
            println!("{name:<12} {} ADDs at once: {} ms", HERD, subject.herd()?.as_millis());
        }
    }
    Ok(())
}

const HERD: usize = 100;

impl Subject {
    fn new(program: &Path, kind: &str, subnet: &str, home: &Path) -> Self {
        let ipam = json!({"type": kind, "ranges": [[{"subnet": subnet}]], "dataDir": home});
        let config = json!({"cniVersion": "1.0.0", "name": "net", "type": "ptp", "ipam": ipam}).to_string();
        Self { program: program.to_path_buf(), config }
    }

    fn start(&self, verb: &str, id: &str) -> Result<Child, Failure> {
        let mut command = Command::new(&self.program);
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", "/opt/cni/bin").env("CNI_IFNAME", "eth0");
        command.env("CNI_CONTAINERID", id).env("CNI_NETNS", "/some/where");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        child.stdin.take().ok_or("no stdin")?.write_all(self.config.as_bytes())?;
        Ok(child)
    }

    fn time(&self, verb: &str, id: &str) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let output = self.start(verb, id)?.wait_with_output()?;
        let time = begun.elapsed();
        if output.status.success() { Ok(time) } else { Err(String::from_utf8_lossy(&output.stdout).into()) }
    }

    fn herd(&self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let children =
            (0..HERD).map(|number| self.start("ADD", &format!("herd{number}"))).collect::<Result<Vec<_>, _>>()?;
        let mut addresses = BTreeSet::new();
        for child in children {
            let result: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
            addresses.insert(result["ips"][0]["address"].to_string());
        }
        let time = begun.elapsed();
        if addresses.len() == HERD { Ok(time) } else { Err(format!("{} unique addresses", addresses.len()).into()) }
    }
}

/// host-local's own form: a file named by the address, holding container id and ifname.
fn fill_peer(home: &Path, count: u64) -> Result<(), Failure> {
    let directory = home.join("net");
    fs::create_dir_all(&directory)?;
    let mut last = None;
    for number in 0..u32::try_from(count)? {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0002 + number);
        fs::write(directory.join(address.to_string()), format!("{number:064x}\r\neth0"))?;
        last = Some(address);
    }
    if let Some(address) = last {
        fs::write(directory.join("last_reserved_ip.0"), address.to_string())?;
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> u128 {
    times.sort();
    times.get(times.len() / 2).map_or(0, Duration::as_micros)
}
