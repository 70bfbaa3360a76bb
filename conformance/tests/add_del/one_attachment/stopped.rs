//! The same without chance: one call stands still at a system call, another runs from its beginning to its end, and the first
//! goes on.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use podlan_conformance::lab::{Command, Error, Lab, Node, Output, Sabotage, has_strace, within};

use super::world::{Call, World};

const SOON: Duration = Duration::from_secs(60);

/// Where it stands still: once it has learned of the world, or changed it.
fn at(call: &str) -> bool {
    let changes = matches!(call, "sendto" | "sendmsg" | "setns" | "pwrite64" | "flock" | "ioctl" | "pread64" | "fcntl");
    changes || std::env::var_os("PODLAN_TORTURE").is_some()
}

/// Runs `first` until it stands still, then `second` whole, then the rest of `first`.
fn meet(world: &World<'_>, node: &Node, command: Command, second: Call) -> Result<(Output, Option<Output>), Error> {
    let trace = node.path("/run/trace");
    std::fs::remove_file(&trace).ok();
    let mut running = command.spawn()?;
    let until = Instant::now() + SOON;
    let mut met = None;
    while running.is_running() && Instant::now() < until {
        if std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("stopped by SIGSTOP")) {
            met = Some(world.command(second)?.run()?);
            running.signal(Signal::SIGCONT)?;
            break;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok((running.wait(SOON)?, met))
}

/// `first` stands still at each of its calls in turn, while `second` runs. `present`: the pod was added before.
fn each(first: Call, second: Call, present: bool) -> Result<(usize, usize), Error> {
    if !has_strace() {
        return Ok((0, 0));
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let mut world = World::new(node)?;
    // A call that holds the store's lock is waited for no longer than this.
    world.wait_for_the_lock(1);
    let other = std::cell::RefCell::new(None);
    let added = std::cell::Cell::new(0);
    let before = || {
        world.clean()?;
        if present { world.command(Call::Add)?.succeeds().map(drop) } else { Ok(()) }
    };
    let stops = Sabotage {
        tamper: "signal=STOP",
        of: &at,
        before,
        command: || world.command(first),
        run: |command| {
            let (output, met) = meet(&world, node, command, second)?;
            *other.borrow_mut() = met;
            Ok(output)
        },
        then: |when: &str, output: &Output| {
            let mut ended = vec![(first, output.clone())];
            // It meets the store's lock, and is told so: 11, to be tried again.
            let met = other.borrow_mut().take();
            let busy = |met: &Output| met.stdout.contains("is still held");
            ended.extend(met.filter(|met| !busy(met)).map(|met| (second, met)));
            let when = format!("{first:?} {when}, and {second:?} whole");
            if present {
                return world.judge_present(&when, &ended);
            }
            added.set(added.get() + usize::from(world.judge(&when, &ended)? > 0));
            Ok(())
        },
    };
    let points = stops.at_each_call(node)?;
    world.clean()?;
    Ok((points, added.get()))
}

#[test]
fn an_add_paused_anywhere_while_another_runs_keeps_what_it_reports() {
    within(|| {
        let (points, added) = each(Call::Add, Call::Add, false)?;
        println!("ADD and ADD: {points} moments, {added} added");
        assert!(points == 0 || points > 30 && added >= points, "{points} {added}");
        Ok(())
    });
}

#[test]
fn an_add_paused_anywhere_while_a_del_runs_is_complete_or_gone() {
    within(|| {
        let (points, added) = each(Call::Add, Call::Del, false)?;
        println!("ADD and DEL: {points} moments, {added} added");
        assert!(points == 0 || points > 30 && added > 5 && added < points, "{points} {added}");
        Ok(())
    });
}

#[test]
fn an_add_paused_anywhere_while_gc_runs_is_complete_or_gone() {
    within(|| {
        let (points, added) = each(Call::Add, Call::Gc, false)?;
        println!("ADD and GC: {points} moments, {added} added");
        assert!(points == 0 || points > 30 && added > 5, "{points} {added}");
        Ok(())
    });
}

#[test]
fn a_del_paused_anywhere_while_an_add_runs_leaves_it_complete_or_gone() {
    within(|| {
        let (points, added) = each(Call::Del, Call::Add, false)?;
        println!("DEL and ADD: {points} moments, {added} added");
        assert!(points == 0 || points > 5 && added > 5, "{points} {added}");
        Ok(())
    });
}

#[test]
fn a_gc_paused_anywhere_while_an_add_runs_leaves_it_complete_or_gone() {
    within(|| {
        let (points, added) = each(Call::Gc, Call::Add, false)?;
        println!("GC and ADD: {points} moments, {added} added");
        assert!(points == 0 || points > 5 && added > 5, "{points} {added}");
        Ok(())
    });
}

/// A DEL of a pod that was added stands still, and the runtime deletes it once more and adds it again.
#[test]
fn a_del_paused_anywhere_while_its_pod_is_deleted_and_added_again_leaves_it_complete_or_gone() {
    within(|| {
        let (points, _) = each(Call::Del, Call::DelThenAdd, true)?;
        println!("DEL and DEL, ADD: {points} moments");
        assert!(points == 0 || points > 5, "{points}");
        Ok(())
    });
}

/// The same of GC, which has seen the pod as one that is not listed.
#[test]
fn a_gc_paused_anywhere_while_its_pod_is_deleted_and_added_again_leaves_it_complete_or_gone() {
    within(|| {
        let (points, _) = each(Call::Gc, Call::DelThenAdd, true)?;
        println!("GC and DEL, ADD: {points} moments");
        assert!(points == 0 || points > 5, "{points}");
        Ok(())
    });
}
