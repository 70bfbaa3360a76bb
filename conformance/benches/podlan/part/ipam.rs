//! The lease only, from exec to exit: podlan-ipam and host-local with none to a million leases in their stores.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::Failure;
use crate::contender::again;
use crate::figures::Figures;
use crate::measure;
use crate::tools::Tools;

/// Leases in the store, and a pool that has room for as many.
const SIZES: [(u32, &str); 4] =
    [(0, "10.0.0.0/24"), (250, "10.0.0.0/23"), (65_000, "10.0.0.0/15"), (1_000_000, "10.0.0.0/11")];

/// host-local reads every lease in each ADD and DEL: with so many a round takes most of a second.
const PEER_MOST: u32 = 65_000;

/// With more leases it runs only in one of this many rounds.
const PEER_SELDOM: usize = 20;

/// Container ids of the measured leases begin here: beyond those with which the stores are filled.
const BEYOND: usize = 1 << 40;

/// What podlan-ipam is compared with: itself with so many leases, and therefore measured with them twice.
const BASE: u32 = 250;

struct Subject {
    label: String,
    leases: u32,
    program: PathBuf,
    config: String,
}

pub(crate) fn run(tools: &Tools, quick: bool, figures: &mut Figures) -> Result<(), Failure> {
    let rounds = if quick { 40 } else { 200 };
    // In memory, like /run.
    let work = tempfile::tempdir_in("/dev/shm")?;
    let mut subjects = Vec::new();
    for (leases, subnet) in SIZES {
        let home = work.path().join(format!("podlan-{leases}"));
        fill(&tools.fill_leases, &home, subnet, leases)?;
        subjects.push(Subject::new("podlan-ipam", &tools.ipam, leases, subnet, &home));
        if leases == BASE {
            let home = work.path().join("podlan-again");
            fill(&tools.fill_leases, &home, subnet, leases)?;
            let subject = Subject::new("podlan-ipam", &tools.ipam, leases, subnet, &home);
            subjects.push(Subject { label: again("podlan-ipam"), ..subject });
        }
        if let Some(folder) = tools.reference().filter(|_| leases <= PEER_MOST) {
            let home = work.path().join(format!("host-local-{leases}"));
            fill_peer(&home, leases)?;
            subjects.push(Subject::new("host-local", &folder.join("host-local"), leases, subnet, &home));
        }
    }
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let subject = &subjects[(round + turn) % subjects.len()];
            if subject.label == "host-local" && subject.leases == PEER_MOST && round % PEER_SELDOM != 0 {
                continue;
            }
            for verb in ["ADD", "DEL"] {
                let cost = subject.call(verb, round)?;
                let case = format!("{verb}, {} leases", subject.leases);
                figures.add("ipam", &case, &subject.label, "ms", cost.wall.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(())
}

impl Subject {
    fn new(label: &str, program: &Path, leases: u32, subnet: &str, home: &Path) -> Self {
        let ipam = json!({"type": label, "ranges": [[{"subnet": subnet}]], "dataDir": home});
        let config = json!({"cniVersion": "1.0.0", "name": "net", "type": "ptp", "ipam": ipam}).to_string();
        Self { label: label.to_owned(), leases, program: program.to_owned(), config }
    }

    fn call(&self, verb: &str, round: usize) -> Result<measure::Cost, Failure> {
        let mut command = Command::new(&self.program);
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", "/opt/cni/bin").env("CNI_IFNAME", "eth0");
        command.env("CNI_CONTAINERID", format!("{:064x}", BEYOND + round)).env("CNI_NETNS", "/some/where");
        measure::run(&mut command, self.config.as_bytes())
    }
}

fn fill(program: &Path, home: &Path, subnet: &str, leases: u32) -> Result<(), Failure> {
    let done = Command::new(program).arg(home).args(["net", subnet, &leases.to_string()]).status()?;
    if done.success() { Ok(()) } else { Err("fill-leases failed".into()) }
}

/// host-local's own form: a file named by the address, with container id and ifname in it.
fn fill_peer(home: &Path, leases: u32) -> Result<(), Failure> {
    let directory = home.join("net");
    fs::create_dir_all(&directory)?;
    let address = |number: u32| Ipv4Addr::from_bits(0x0a00_0002 + number).to_string();
    for number in 0..leases {
        fs::write(directory.join(address(number)), format!("{:064x}\r\neth0", u64::from(number) + (1 << 32)))?;
    }
    match leases.checked_sub(1) {
        Some(last) => Ok(fs::write(directory.join("last_reserved_ip.0"), address(last))?),
        None => Ok(()),
    }
}
