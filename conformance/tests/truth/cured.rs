//! How a row ends: by the command that its condition prints, by a person, or by the agent itself.

use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Output, eventually};

use crate::outcome::Outcome;
use crate::row::{At, Cure, Row};
use crate::stage::Stage;
use crate::told::{Told, by_doctor};

/// Runs the condition's command as root of the node, that very string, or undoes the fault where a person must decide.
/// That packets pass afterwards is the caller's to see.
pub(crate) fn as_printed(stage: &Stage<'_>, row: &Row, told: &Told, id: &str, outcome: &mut Outcome) {
    outcome.cure.clone_from(told.command.as_ref().unwrap_or(&told.cure));
    outcome.has_command = told.command.is_some();
    let cured = match (row.cure, &told.command) {
        (Cure::Command, Some(command)) => match stage.run(At::Node, command, id) {
            Ok(output) if output.success() || is_fixed(command, &output) => {
                match rest(stage).and_then(|()| stage.all_pass()) {
                    Ok(()) => true,
                    Err(error) => outcome.fails(&format!("after `{command}`: {error}")),
                }
            }
            Ok(output) => outcome.fails(&format!("`{command}` fails: {}{}", output.stdout, output.stderr)),
            Err(error) => outcome.fails(&error.to_string()),
        },
        (Cure::Command, None) => outcome.fails(&format!("no command is printed, only: {}", told.cure)),
        (_, Some(command)) => outcome.fails(&format!("a person must decide, but a command is printed: {command}")),
        (_, None) if told.cure.split_whitespace().count() < 4 => {
            outcome.fails(&format!("no command and no sentence says what to do: {:?}", told.cure))
        }
        (_, None) => false,
    };
    // Where the command did not work the fault ends here, so that the rest is still seen.
    if !cured {
        outcome.lacks_err(stage.script(row.fault.at, row.fault.undo, id));
    }
    outcome.lacks_err(stage.revive());
}

/// `doctor --fix` has fixed something: what it leaves to others keeps its exit code from being 0.
fn is_fixed(command: &str, output: &Output) -> bool {
    command == "podlan-node doctor --fix" && output.stdout.starts_with("fixed") && !output.stdout.contains("not fixed")
}

/// Runs the commands of what is still wrong, as an operator does: a pod without a link has lost the addresses of both
/// families.
fn rest(stage: &Stage<'_>) -> Result<(), Error> {
    let (left, ..) = by_doctor(stage).map_err(|said| Error::Unreadable { from: "doctor".to_owned(), said })?;
    let commands = left.iter().filter_map(|one| one.command.as_ref());
    commands.into_iter().try_for_each(|command| stage.script(At::Node, command, "").map(drop))
}

/// The agent ends the fault by itself: all packets pass, and the log says what was put back.
pub(crate) fn by_the_agent(
    stage: &Stage<'_>,
    names: &[String],
    (begun, before): (Instant, usize),
    within: Duration,
    outcome: &mut Outcome,
) {
    "the agent, by itself".clone_into(&mut outcome.cure);
    let logged = eventually(within, &format!("the log names {names:?}"), || {
        let log = stage.log_after(before);
        let said = |line: &&str| names.iter().all(|name| line.contains(name));
        log.lines().find(said).map(str::to_owned).ok_or(log)
    });
    match logged {
        Ok(line) => outcome.healed(begun.elapsed(), &line),
        Err(error) => outcome.lacks(&error.to_string()),
    }
    outcome.lacks_err(stage.all_pass());
}
