//! Two calls for one attachment at once: a runtime's retry, an early DEL or GC, a pod that ends. A call that reported
//! success leaves its link, its address and its lease; what is undone or released is removed completely.
//!
//! ```text
//!   node1, with room for one pod
//!     └── web   eth0 is added by two processes at once, deleted, collected, or its namespace goes
//! ```

mod rig;
mod stopped;

use std::time::{Duration, Instant};

use podlan_conformance::agent::{METRICS, has, metrics};
use podlan_conformance::lab::{Error, Lab, eventually, within};
use rig::{Call, Rig};

/// How long the short form runs.
const SHORT: Duration = Duration::from_secs(30);

/// Calls that start shortly after each other.
const ROUNDS: [&[Call]; 8] = [
    &[Call::Add, Call::Add],
    &[Call::Add, Call::Del],
    &[Call::Add, Call::Gc],
    &[Call::Add, Call::Add, Call::Del],
    &[Call::Add, Call::Del, Call::Add],
    &[Call::Del, Call::Add, Call::Gc],
    &[Call::Add, Call::Add, Call::Add, Call::Gc],
    &[Call::Add, Call::Del, Call::Del, Call::Gc],
];

/// Pseudo-random numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The number of rounds of the long form, where it is requested.
fn long() -> Option<usize> {
    std::env::var("PODLAN_TORTURE").ok()?.parse().ok()
}

/// Runs rounds until the time is over or, in the long form, this many.
fn play(rig: &Rig<'_>, mut round: impl FnMut(&Rig<'_>, usize, &mut Dice) -> Result<(), Error>) -> Result<usize, Error> {
    let (begun, rounds) = (Instant::now(), long());
    let mut dice = Dice(15);
    let mut played = 0;
    while rounds.map_or(begun.elapsed() < SHORT, |rounds| played < rounds) {
        round(rig, played, &mut dice)?;
        played += 1;
    }
    Ok(played)
}

#[test]
fn concurrent_calls_for_one_attachment_leave_it_complete_or_gone() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let (mut added, mut both) = (0, 0);
        let played = play(&rig, |rig, number, dice| {
            let calls = ROUNDS[number % ROUNDS.len()];
            let mut running = Vec::new();
            for &call in calls {
                running.push((call, rig.start(call)?));
                // As long as an ADD takes on a busy machine.
                let most = if dice.roll(4) == 0 { 20_000 } else { 2_000 };
                std::thread::sleep(Duration::from_micros(dice.roll(most)));
            }
            let mut ended = Vec::new();
            for (call, running) in running {
                ended.push((call, running.wait(Duration::from_secs(60))?));
            }
            let successes = rig.judge(&format!("round {number} of {calls:?}"), &ended)?;
            added += usize::from(successes > 0);
            both += usize::from(successes > 1);
            rig.clean()
        })?;
        println!("{played} rounds, {added} with a pod added, {both} with two ADDs that succeeded");
        assert!(played > 100 && added > played / 4, "{played} {added}");
        Ok(())
    });
}

/// ADD against the agent's sweep, and against the ADD of another pod, which releases dead leases when the pool is full.
#[test]
fn a_pod_that_ends_during_its_add_is_removed_completely_by_a_sweep_and_by_the_next_add() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut agent = node.agent(&["--listen", &METRICS.to_string(), "--resync", "1s", "--probe", "off"])?;
        for cidr in node.pod_cidrs() {
            let own = ["unreachable", &cidr.to_string(), "110"];
            eventually(Duration::from_secs(20), "the agent's own routes are in", || has(node, &own))?;
        }
        let rig = Rig::new(node)?;
        let next = node.pod("next")?;
        // Nothing is released before the namespace of a living pod was seen: otherwise the agent might simply not see
        // the directory.
        next.add(rig.config())?;
        eventually(Duration::from_secs(20), "the agent sees a pod", || {
            let metrics = metrics(node)?;
            let seen = metrics.lines().any(|line| line.contains("state=\"alive\"") && line.ends_with(" 2"));
            if seen { Ok(()) } else { Err(metrics) }
        })?;
        next.del(rig.config())?;
        let mut passed_on = 0;
        let played = play(&rig, |rig, number, dice| {
            let web = rig.start(Call::Add)?;
            std::thread::sleep(Duration::from_micros(dice.roll(12_000)));
            rig.remove_pod()?;
            std::thread::sleep(Duration::from_micros(dice.roll(2_000)));
            let other = next.cni("ADD", "eth0", rig.config())?.spawn()?;
            let other = other.wait(Duration::from_secs(60))?;
            let web = web.wait(Duration::from_secs(60))?;
            let when = format!("round {number}: the pod ended while it was added");
            rig.nothing_is_left(&when, &web, &other)?;
            if other.success() {
                passed_on += 1;
                rig.is_whole(&when, &next, &other)?;
            }
            next.del(rig.config())?;
            rig.make_pod()?;
            rig.clean()
        })?;
        assert!(agent.is_running(), "{}", agent.stderr());
        println!("{played} rounds, in {passed_on} the address went to the next pod at once");
        assert!(played > 50 && passed_on > 0, "{played} {passed_on}");
        Ok(())
    });
}
