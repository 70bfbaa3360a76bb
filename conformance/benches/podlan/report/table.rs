//! The tables: medians, and each beside podlan's.

use std::fmt::Write as _;

use crate::contender::{FLOOR, PEER, PODLAN};
use crate::figures::{Figures, Series};

/// One table: its title, the part, which of the part's cases, and what the contenders are compared with.
struct Table {
    title: &'static str,
    part: &'static str,
    chosen: fn(&str) -> bool,
}

const TABLES: [Table; 7] = [
    Table { title: "One pod, exec to exit (median)", part: "pods", chosen: |_| true },
    Table { title: "CPU time", part: "cpu", chosen: |case| case.ends_with("ADD v4, 250 pods") },
    Table { title: "At once", part: "crowd", chosen: |_| true },
    Table { title: "Asked of the kernel and the processor", part: "calls", chosen: |case| case.starts_with("ADD v4") },
    Table { title: "The lease alone", part: "ipam", chosen: |case| case.starts_with("ADD") },
    Table { title: "The node agent", part: "agent", chosen: |_| true },
    Table { title: "Between pods", part: "datapath", chosen: |_| true },
];

/// How many of them the README has.
const SHORT: usize = 3;

/// All tables in Markdown, with the names of the contenders as columns.
pub(crate) fn all(figures: &Figures) -> String {
    markdown(figures, &TABLES)
}

/// Those of the README.
pub(crate) fn short(figures: &Figures) -> String {
    markdown(figures, &TABLES[..SHORT])
}

fn markdown(figures: &Figures, tables: &[Table]) -> String {
    let mut text = String::new();
    for table in tables {
        let series: Vec<&Series> =
            figures.all().iter().filter(|s| s.part == table.part && (table.chosen)(&s.case)).collect();
        let contenders = distinct(series.iter().map(|s| s.contender.as_str()));
        if contenders.is_empty() {
            continue;
        }
        writeln!(text, "| {} | {} |", table.title, contenders.join(" | ")).ok();
        writeln!(text, "|---|{}", "---|".repeat(contenders.len())).ok();
        for case in distinct(series.iter().map(|s| s.case.as_str())) {
            let cells = contenders.iter().map(|contender| {
                let own = series.iter().find(|s| s.case == case && s.contender == *contender);
                own.map_or(String::new(), |own| cell(own, figures.of(table.part, case, PODLAN)))
            });
            writeln!(text, "| {case} | {} |", cells.collect::<Vec<_>>().join(" | ")).ok();
        }
        text.push('\n');
    }
    text
}

/// The median with its unit; of the others, how many times podlan's it is.
fn cell(own: &Series, podlan: Option<&Series>) -> String {
    let value = format!("{} {}", digits(own.median()), own.unit);
    match podlan.map(Series::median) {
        Some(of) if own.contender != PODLAN && of > 0.0 => format!("{value} ({}x)", digits(own.median() / of)),
        _ => value,
    }
}

/// Three digits that matter.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Each once, in the order of appearance; the floor, podlan and its first peer come first.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    names.for_each(|name| {
        if !all.contains(&name) {
            all.push(name);
        }
    });
    let leading = |name: &&str| [PODLAN, FLOOR, PEER].iter().position(|first| first == name).unwrap_or(usize::MAX);
    all.sort_by_key(leading);
    all
}
