//! One broken part affects that part only: each lasting fault, times the laws of the agent.
//!
//! ```text
//!   lan ──┬── node1 (agent, fault 1) ── web (podnet), pods of the network "other"
//!         ├── node2 (agent, fault 2) ── …
//!         └── …                          all of them list the peer 172.31.0.250, which is nowhere
//! ```
//!
//! While a fault lasts: a deleted route is restored, /healthz answers, other networks are served, threads, descriptors
//! and memory do not grow, `status` names the fault, and the agent remains the same process. After it: everything
//! recovers soon. During it: SIGTERM ends the agent.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

mod fault;
mod faults;
mod fuse;
mod rig;

use std::thread;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Lab, set_aside, within};

use fault::Fault;
use rig::{Figures, Rig};

/// How long a fault lasts: leaks need time to show.
const LASTS: Duration = Duration::from_secs(30);

/// The pause between two rounds of checks while it lasts.
const PACE: Duration = Duration::from_millis(700);

/// The deadline for a fact on a busy machine: everything is well after the fault, a deleted route is back, a signal
/// ends the agent.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much longer a deleted route may be missing during the fault than the longest of [`BASE`] times before it. One in
/// ten may be missing for longer.
const SLOWER: u32 = 50;
const BASE: usize = 5;

/// How much more memory the agent may have at the end than after a third of the fault, KiB: the allocator's own.
const MORE: u64 = 2048;

#[test]
fn while_one_dependency_is_broken_the_agent_does_everything_else_and_names_the_fault() {
    within(|| {
        let faults: Vec<Fault> = faults::all().into_iter().filter(is_asked_for).collect();
        let lab = Lab::new(u8::try_from(faults.len()).unwrap())?;
        let failures: Vec<String> = thread::scope(|scope| {
            let rows: Vec<_> = lab
                .nodes()
                .iter()
                .zip(&faults)
                .map(|(node, fault)| {
                    thread::Builder::new()
                        .name(fault.name.to_owned())
                        .spawn_scoped(scope, move || row(&Rig::new(node, fault)?, fault))
                        .unwrap()
                })
                .collect();
            let ended = rows.into_iter().map(|row| row.join().unwrap_or_else(|_| Err("it panicked".to_owned())));
            ended.zip(&faults).filter_map(|(row, fault)| Some(format!("{}: {}", fault.name, row.err()?))).collect()
        });
        assert!(failures.is_empty(), "{} of {} faults:\n{}", failures.len(), faults.len(), failures.join("\n"));
        Ok(())
    });
}

#[test]
fn an_agent_starts_with_a_fault_already_present() {
    within(|| {
        let faults = faults::at_start();
        let lab = Lab::new(u8::try_from(faults.len()).unwrap())?;
        for (node, fault) in lab.nodes().iter().zip(&faults) {
            let rig = Rig::new(node, fault).unwrap_or_else(|why| panic!("{}: {why}", fault.name));
            let started = rig.has_routes(PATIENCE).and_then(|()| rig.heals(PATIENCE)).map(drop);
            let named = rig.names(fault.named, PATIENCE);
            let laws = started.and_then(|()| rig.is_healthy()).and(named).and_then(|()| rig.ends(PATIENCE));
            laws.unwrap_or_else(|why| panic!("{}: {why}", fault.name));
        }
        Ok(())
    });
}

/// `PODLAN_FAULT=name` tests one fault alone.
fn is_asked_for(fault: &Fault) -> bool {
    std::env::var("PODLAN_FAULT").map_or(true, |asked| fault.name.contains(&asked))
}

/// All laws under one fault; returns every law that is broken, not only the first.
fn row(rig: &Rig<'_>, fault: &Fault) -> Result<(), String> {
    let mut broken = Vec::new();
    rig.is_well(PATIENCE).map_err(|why| format!("it was never well: {why}"))?;
    let before = (0..BASE).map(|_| rig.heals(PATIENCE)).collect::<Result<Vec<_>, _>>()?;
    let soon = SLOWER * before.into_iter().max().unwrap_or(PATIENCE);
    let lift = match (fault.begin)(rig) {
        Ok(lift) => lift,
        Err(why) if why.starts_with("SKIP") => {
            set_aside(&format!("{}: {why}", fault.name));
            return Ok(());
        }
        Err(why) => return Err(format!("the fault cannot be made: {why}")),
    };
    broken.extend(lasts(rig, fault, soon).err());
    lift();
    broken.extend(rig.is_well(PATIENCE).err().map(|why| format!("it is not well after the fault: {why}")));
    let lift = (fault.begin)(rig).map_err(|why| format!("the fault cannot be made again: {why}"))?;
    broken.extend(rig.names_one(fault.named, PATIENCE).err());
    broken.extend(rig.ends(PATIENCE).err());
    lift();
    if broken.is_empty() { Ok(()) } else { Err(format!("\n  - {}", broken.join("\n  - "))) }
}

fn lasts(rig: &Rig<'_>, fault: &Fault, soon: Duration) -> Result<(), String> {
    let begun = Instant::now();
    let (mut late, mut heals, mut broken) = (0, 0, Vec::new());
    let mut unnamed: Vec<&str> = fault.named.to_vec();
    let mut third: Option<Figures> = None;
    let mut served = !fault.serves_others;
    while begun.elapsed() < LASTS && broken.len() < 3 {
        broken.extend(rig.runs().err());
        match rig.heals(PATIENCE) {
            Ok(took) => late += u32::from(took > soon),
            Err(why) => broken.push(why),
        }
        heals += 1;
        broken.extend(rig.is_healthy().err());
        if !unnamed.is_empty() {
            let said = rig.status();
            unnamed.retain(|name| !said.contains(name));
        }
        if !served && begun.elapsed() > LASTS / 4 {
            broken.extend(rig.others_are_served().err());
            served = true;
        }
        if third.is_none() && begun.elapsed() > LASTS / 3 {
            third = Some(rig.figures()?);
        }
        thread::sleep(PACE);
    }
    if late * 10 > heals {
        broken.push(format!("{late} of {heals} heals took longer than {soon:?}"));
    }
    if !unnamed.is_empty() {
        broken.push(format!("status never says {unnamed:?}:\n{}", rig.status()));
    }
    if let Some(third) = third {
        broken.extend(rig.figures()?.more_than(&third, MORE).err());
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n  - ")) }
}
