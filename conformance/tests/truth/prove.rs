//! Proves a row: all is well, the fault is made, every surface names it in time, the cure ends it.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Lab, eventually, patient, skip};

use crate::cured;
use crate::outcome::{Outcome, write};
use crate::row::{Cure, Row, Surface};
use crate::stage::Stage;
use crate::told::{Told, brief, by_agent, by_doctor, says};

/// A busy machine is given this many times the bound before the row fails, as long as between two looks at the most; the table
/// has the time that it took.
const PATIENCE: u32 = 14;

/// The longest time between two looks of an agent, each of which is costly where nothing is optimised.
const LONGEST: Duration = Duration::from_secs(70);

/// Between two looks: each starts programs, and the bounds are in seconds.
const PACE: Duration = Duration::from_millis(250);

/// Makes the row's lab and proves it. What is missing is written down with the rest of the outcome, all of it at once.
pub(crate) fn prove(name: &str, row: &Row) -> Result<(), Error> {
    if !has_programs() {
        return Ok(());
    }
    let lab = Lab::new(row.options.nodes)?;
    let stage = Stage::start(&lab, &row.options)?;
    let mut outcome = Outcome::of(name, row);
    outcome.lacks_err(is_well(&stage, "before the fault"));
    let (begun, logged) = (Instant::now(), stage.log().len());
    let id = stage.script(row.fault.at, row.fault.make, "")?;
    let names: Vec<String> = row.names.iter().map(|name| stage.resolve(name, &id)).collect();
    outcome.names.clone_from(&names);
    match row.cure {
        Cure::Agent => cured::by_the_agent(&stage, &names, (begun, logged), row.within * PATIENCE, &mut outcome),
        Cure::Command | Cure::Person => {
            match look(&stage, row, &names, begun, &mut outcome) {
                Some(told) => cured::as_printed(&stage, row, &told, &id, &mut outcome),
                None => {
                    outcome.lacks_err(stage.script(row.fault.at, row.fault.undo, &id));
                    outcome.lacks_err(stage.revive());
                }
            }
            outcome.lacks_err(is_over(&stage, row.kind, &names));
        }
    }
    outcome.lacks_err(stage.all_pass());
    outcome.lacks_err(is_well(&stage, "after the cure"));
    write(&outcome)?;
    outcome.verdict()
}

/// Whether the machine has what breaks nodes; a loud skip where it does not.
pub(crate) fn has_programs() -> bool {
    let programs = ["ip", "nft", "iptables-nft", "sysctl", "flock", "nsenter", "unshare"];
    let is_there = |program: &&str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let missing = programs.iter().find(|program| !is_there(program));
    if let Some(program) = missing {
        skip(&format!("missing {program}: apt-get install iproute2 nftables iptables procps util-linux"));
    }
    missing.is_none()
}

/// Polls every surface until each has told, or its time is over, while packets are sent. Returns the condition.
fn look(stage: &Stage<'_>, row: &Row, names: &[String], begun: Instant, outcome: &mut Outcome) -> Option<Told> {
    let until = begun + patient(row.within * PATIENCE);
    thread::scope(|scope| {
        let packets: Vec<_> = row.harmed.iter().map(|way| (way, scope.spawn(|| stage.passes(*way)))).collect();
        let mut left: Vec<Surface> = Surface::ALL.into_iter().filter(|one| !row.not_by.contains(one)).collect();
        let mut condition = None;
        loop {
            let mut silent = Vec::new();
            for surface in left {
                match says(surface, stage, row.kind, names) {
                    Ok(told) => {
                        outcome.told(surface, begun.elapsed(), &told);
                        if !told.cure.is_empty() {
                            condition = Some(told);
                        }
                    }
                    Err(instead) => silent.push((surface, instead)),
                }
            }
            if silent.is_empty() || Instant::now() > until {
                silent.iter().for_each(|(surface, instead)| outcome.silent(*surface, instead));
                break;
            }
            left = silent.into_iter().map(|(surface, _)| surface).collect();
            thread::sleep(PACE);
        }
        for (way, sent) in packets {
            match sent.join() {
                Ok(Err(how)) => outcome.harm(&how),
                _ => outcome.lacks(&format!("the fault harms nothing: packets pass on {way:?}")),
            }
        }
        condition
    })
}

/// No surface says that anything is wrong.
pub(crate) fn is_well(stage: &Stage<'_>, when: &str) -> Result<(), Error> {
    eventually(LONGEST, &format!("nothing is wrong {when}"), || {
        let (told, well, text) = by_doctor(stage)?;
        if !well || !told.is_empty() {
            return Err(format!("doctor: {}", if told.is_empty() { text } else { brief(&told) }));
        }
        match by_agent(stage)? {
            none if none.is_empty() => Ok(()),
            some => Err(format!("node.json: {}", brief(&some))),
        }
    })
}

/// The agent no longer has the condition. Where no event says so it looks once a minute at the least.
fn is_over(stage: &Stage<'_>, kind: &str, names: &[String]) -> Result<(), Error> {
    eventually(LONGEST, &format!("{kind} is over"), || match says(Surface::NodeJson, stage, kind, names) {
        Ok(told) => Err(told.wrong),
        Err(_) => Ok(()),
    })
}
