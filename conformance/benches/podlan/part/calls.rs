//! The cost of an ADD and a DEL: system calls, netlink requests, page faults, instructions. They are counted, not timed: the
//! same on every machine, except for the peers' threads.

use std::path::Path;

use podlan_conformance::cost;
use podlan_conformance::lab::Lab;

use crate::Failure;
use crate::contender::{self, Contender, EACH, FLOOR, Families, PODLAN, Subnets, Verb};
use crate::figures::Figures;
use crate::tools::Tools;

pub(crate) fn run(tools: &Tools, figures: &mut Figures) -> Result<(), Failure> {
    let subnets = Subnets::of(200)?;
    let fields = EACH.map(|families| (families, contender::all(tools, families, subnets)));
    let lab = Lab::new(u8::try_from(fields.iter().map(|(_, contenders)| contenders.len()).sum::<usize>())?)?;
    let mut nodes = lab.nodes().iter();
    for (families, contenders) in &fields {
        for (contender, node) in contenders.iter().zip(&mut nodes) {
            // The first pod creates the store and switches forwarding on.
            for (number, count) in [pass, kernel, pages, processor].into_iter().enumerate() {
                let pod = node.pod(&format!("counted{number}"))?;
                for verb in [Verb::Add, Verb::Del] {
                    let call = Call { contender, families: *families, verb, number, netns: pod.netns() };
                    node.place().enter(|| count(&call, figures))??;
                }
                pod.remove()?;
            }
        }
    }
    Ok(())
}

struct Call<'a> {
    contender: &'a Contender,
    families: Families,
    verb: Verb,
    number: usize,
    netns: &'a Path,
}

impl Call<'_> {
    fn note(&self, figures: &mut Figures, unit: &str, count: u64) {
        let verb = if self.verb == Verb::Add { "ADD" } else { "DEL" };
        let case = format!("{verb} {}, {unit}", self.families.name());
        #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
        figures.add("calls", &case, &self.contender.label, unit, count as f64);
    }
}

fn pass(call: &Call<'_>, _: &mut Figures) -> Result<(), Failure> {
    call.contender.call(call.verb, call.number, call.netns).map(drop)
}

fn kernel(call: &Call<'_>, figures: &mut Figures) -> Result<(), Failure> {
    let (command, stdin) = call.contender.command(call.verb, call.number, call.netns);
    let calls = cost::calls(&command, stdin.as_bytes())?;
    call.note(figures, "system calls", calls.system);
    call.note(figures, "netlink requests", calls.netlink);
    Ok(())
}

fn pages(call: &Call<'_>, figures: &mut Figures) -> Result<(), Failure> {
    let (mut command, stdin) = call.contender.command(call.verb, call.number, call.netns);
    call.note(figures, "page faults", cost::page_faults(&mut command, stdin.as_bytes())?);
    Ok(())
}

fn processor(call: &Call<'_>, figures: &mut Figures) -> Result<(), Failure> {
    // The others are written in Go; valgrind counts their threads differently each time.
    if ![FLOOR, PODLAN].contains(&call.contender.label.as_str()) {
        return pass(call, figures);
    }
    let (command, stdin) = call.contender.command(call.verb, call.number, call.netns);
    call.note(figures, "instructions", cost::instructions(&command, stdin.as_bytes())?);
    Ok(())
}
