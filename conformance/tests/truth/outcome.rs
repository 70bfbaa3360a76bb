//! What a row's test saw, and `truth.md` beside the test programs: one line for each row that ran.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use podlan_conformance::lab::Error;

use crate::row::{Row, Surface};
use crate::rows;
use crate::told::Told;

/// What was seen of a row.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    name: String,
    broken: String,
    kind: String,
    /// What had to be named.
    pub(crate) names: Vec<String>,
    told: Vec<(Surface, Duration)>,
    wrong: String,
    harm: Vec<String>,
    /// The condition's cure.
    pub(crate) cure: String,
    /// Whether it is a command.
    pub(crate) has_command: bool,
    lacking: Vec<String>,
}

impl Outcome {
    pub(crate) fn of(name: &str, row: &Row) -> Self {
        Self { name: name.to_owned(), broken: row.broken.to_owned(), kind: row.kind.to_owned(), ..Self::default() }
    }

    /// A surface names the condition.
    pub(crate) fn told(&mut self, surface: Surface, after: Duration, told: &Told) {
        self.told.push((surface, after));
        if surface == Surface::NodeJson || (self.wrong.is_empty() && surface == Surface::Doctor) {
            self.wrong.clone_from(&told.wrong);
        }
        if surface == Surface::Alert {
            let _ = write!(self.wrong, " [{}]", told.subject);
        }
    }

    /// A surface does not name it, and what it says instead.
    pub(crate) fn silent(&mut self, surface: Surface, instead: &str) {
        let first: String = instead.chars().take(600).collect();
        self.lacks(&format!("{} does not tell of {} naming {:?}: {first}", surface.name(), self.kind, self.names));
    }

    /// The agent has put back what was broken.
    pub(crate) fn healed(&mut self, after: Duration, line: &str) {
        self.told.push((Surface::Log, after));
        line.clone_into(&mut self.wrong);
    }

    /// What happened to packets.
    pub(crate) fn harm(&mut self, how: &str) {
        self.harm.push(how.to_owned());
    }

    /// Something is missing.
    pub(crate) fn lacks(&mut self, what: &str) {
        self.lacking.push(what.to_owned());
    }

    /// Something is missing, so that the fault is not cured.
    pub(crate) fn fails(&mut self, what: &str) -> bool {
        self.lacks(what);
        false
    }

    /// What failed is missing.
    pub(crate) fn lacks_err<T>(&mut self, done: Result<T, Error>) {
        if let Err(error) = done {
            let said: String = error.to_string().chars().take(1500).collect();
            self.lacks(&said);
        }
    }

    /// Whether nothing is missing so far.
    fn is_whole(&self) -> bool {
        self.lacking.is_empty()
    }

    /// Fails with all that is missing.
    pub(crate) fn verdict(self) -> Result<(), Error> {
        match self.is_whole() {
            true => Ok(()),
            false => Err(Error::Unreadable {
                from: format!("podlan, of a node where {},", self.broken),
                said: format!("\n  - {}", self.lacking.join("\n  - ")),
            }),
        }
    }

    /// Its line of the table.
    fn line(&self) -> String {
        let after = |surface: &Surface| {
            let told = self.told.iter().find(|(known, _)| known == surface);
            told.map_or_else(|| "-".to_owned(), |(_, after)| format!("{:.1}", after.as_secs_f64()))
        };
        let surfaces = Surface::ALL.iter().map(after).collect::<Vec<_>>().join(" | ");
        let clean = |text: &str| text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ");
        let verdict = if self.is_whole() { "" } else { "**LACKS** " };
        let cure = if self.has_command { format!("`{}`", clean(&self.cure)) } else { clean(&self.cure) };
        let (wrong, harm) = (clean(&self.wrong), clean(&self.harm.join("; ")));
        let lacking: Vec<String> = self.lacking.iter().map(|one| clean(one)).collect();
        format!(
            "| {verdict}{} | {} | {surfaces} | {wrong} | {harm} | {cure} | {} |\n",
            self.broken,
            self.kind,
            lacking.join("; ")
        )
    }
}

/// `truth` in the folder that the test programs were built into.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(&program).join("truth")
}

/// Writes the row's line, and the table of all rows that ran.
pub(crate) fn write(outcome: &Outcome) -> Result<(), Error> {
    let folder = folder();
    let write =
        |path: PathBuf, text: &str| fs::write(&path, text).map_err(Error::system(format!("write {}", path.display())));
    fs::create_dir_all(&folder).map_err(Error::system("make the folder of outcomes"))?;
    write(folder.join(&outcome.name), &outcome.line())?;
    let surfaces = Surface::ALL.map(Surface::name).join(" | ");
    let mut table = format!("| broken | kind | {surfaces} | what was told | packets | cure | lacking |\n|---|---|");
    table.push_str(&"---|".repeat(Surface::ALL.len() + 4));
    table.push('\n');
    for (name, _) in rows::all() {
        table.push_str(&fs::read_to_string(folder.join(name)).unwrap_or_default());
    }
    write(folder.with_extension("md"), &table)
}
