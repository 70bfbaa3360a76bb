//! The same, deterministic: one call is paused at a system call, another runs from its start to its end, and the first
//! continues.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use podlan_conformance::lab::{Command, Error, Lab, Node, Output, Sabotage, has_strace, until, within};

use super::rig::{Call, Rig};

const SOON: Duration = Duration::from_secs(60);

/// The calls at which it is paused: those that read or change state outside of the process.
fn at(call: &str) -> bool {
    let changes = matches!(call, "sendto" | "sendmsg" | "setns" | "pwrite64" | "flock" | "ioctl" | "pread64" | "fcntl");
    changes || std::env::var_os("PODLAN_TORTURE").is_some()
}

/// Runs `first` until it is paused, then all of `second`, then the rest of `first`.
fn pause_first(rig: &Rig<'_>, node: &Node, command: Command, second: Call) -> Result<(Output, Option<Output>), Error> {
    let trace = node.path("/run/trace");
    std::fs::remove_file(&trace).ok();
    let mut running = command.spawn()?;
    let until = until(SOON);
    let mut met = None;
    while running.is_running() && Instant::now() < until {
        if std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("stopped by SIGSTOP")) {
            met = Some(rig.command(second)?.run()?);
            running.signal(Signal::SIGCONT)?;
            break;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok((running.wait(SOON)?, met))
}

/// Pauses `first` at each of its calls in turn, while `second` runs. `present`: the pod was added before.
fn each(first: Call, second: Call, present: bool) -> Result<(usize, usize), Error> {
    if !has_strace() {
        return Ok((0, 0));
    }
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let mut rig = Rig::new(node)?;
    // The time to wait for a call that holds the store's lock.
    rig.wait_for_the_lock(1);
    let other = std::cell::RefCell::new(None);
    let added = std::cell::Cell::new(0);
    let before = || {
        rig.clean()?;
        if present { rig.command(Call::Add)?.succeeds().map(drop) } else { Ok(()) }
    };
    let stops = Sabotage {
        tamper: "signal=STOP",
        of: &at,
        before,
        command: || rig.command(first),
        run: |command| {
            let (output, met) = pause_first(&rig, node, command, second)?;
            *other.borrow_mut() = met;
            Ok(output)
        },
        then: |when: &str, output: &Output| {
            let mut ended = vec![(first, output.clone())];
            // The store's lock is held, and the call fails with code 11, to be tried again.
            let met = other.borrow_mut().take();
            let busy = |met: &Output| met.stdout.contains("is still held");
            ended.extend(met.filter(|met| !busy(met)).map(|met| (second, met)));
            let when = format!("{first:?} {when}, and {second:?} whole");
            if present {
                return rig.judge_present(&when, &ended);
            }
            added.set(added.get() + usize::from(rig.judge(&when, &ended)? > 0));
            Ok(())
        },
    };
    let points = stops.at_each_call(node)?;
    rig.clean()?;
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

/// A DEL of an added pod is paused, and the runtime deletes the pod again and adds it again.
#[test]
fn a_del_paused_anywhere_while_its_pod_is_deleted_and_added_again_leaves_it_complete_or_gone() {
    within(|| {
        let (points, _) = each(Call::Del, Call::DelThenAdd, true)?;
        println!("DEL and DEL, ADD: {points} moments");
        assert!(points == 0 || points > 5, "{points}");
        Ok(())
    });
}

/// The same for GC, which has seen the pod as one that is not listed.
#[test]
fn a_gc_paused_anywhere_while_its_pod_is_deleted_and_added_again_leaves_it_complete_or_gone() {
    within(|| {
        let (points, _) = each(Call::Gc, Call::DelThenAdd, true)?;
        println!("GC and DEL, ADD: {points} moments");
        assert!(points == 0 || points > 5, "{points}");
        Ok(())
    });
}
