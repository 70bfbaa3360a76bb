//! The tables: medians, and their ratios to podlan's: the medians of paired ratios, with their intervals.

use std::fmt::Write as _;

use podlan_conformance::judge::Interval;

use crate::contender::{FLOOR, PEER, PODLAN, again};
use crate::figures::{Figures, Series};

/// One table: its title, the part, and which of the part's cases the README has.
struct Table {
    title: &'static str,
    part: &'static str,
    short: fn(&str) -> bool,
}

const TABLES: [Table; 12] = [
    Table {
        title: "One pod, exec to exit",
        part: "pods",
        short: |case| {
            let left_out = [" v6,", "2000 pods"].iter().any(|what| case.contains(what));
            !left_out && (case.starts_with("ADD") || case.ends_with("250 pods"))
        },
    },
    Table { title: "CPU time", part: "cpu", short: |case| case == "ADD v4, 250 pods" },
    Table { title: "As installed, by libcni", part: "installed", short: |_| true },
    Table { title: "As installed, CPU time of the plugins", part: "installed cpu", short: |_| false },
    Table { title: "At once", part: "crowd", short: |_| true },
    Table { title: "Before packets pass", part: "first", short: |_| true },
    Table { title: "Asked of the kernel and the processor", part: "calls", short: |_| false },
    Table { title: "The lease alone", part: "ipam", short: |_| false },
    Table { title: "The node agent", part: "agent", short: |_| false },
    Table { title: "Between pods", part: "datapath", short: |_| false },
    Table { title: "A sandbox of containerd", part: "runtime", short: |_| false },
    Table { title: "The programs", part: "sizes", short: |_| false },
];

/// The least number of samples for which the 99th percentile is meaningful.
const MANY: usize = 100;

/// All tables in Markdown, with the names of the contenders as columns: medians, their ratios to podlan's, and for many
/// samples the 90th and 99th percentile.
pub(crate) fn all(figures: &Figures) -> String {
    markdown(figures, |_| true, |_, _| true, |own, podlan| cell(own, podlan) + &tail(own))
}

/// The README's: medians, and their ratios to podlan's, without the floor's second series.
pub(crate) fn short(figures: &Figures) -> String {
    let twin = again(FLOOR);
    markdown(figures, |contender| contender != twin, |table, case| (table.short)(case), cell)
}

fn markdown(
    figures: &Figures,
    shown: impl Fn(&str) -> bool,
    chosen: impl Fn(&Table, &str) -> bool,
    cell: impl Fn(&Series, Option<&Series>) -> String,
) -> String {
    let mut text = String::new();
    for table in &TABLES {
        let series: Vec<&Series> =
            figures.all().iter().filter(|s| s.part == table.part && chosen(table, &s.case)).collect();
        let contenders = distinct(series.iter().map(|s| s.contender.as_str()).filter(|name| shown(name)));
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
        let left_out: Vec<String> = figures
            .left_out()
            .iter()
            .filter(|one| one.part == table.part)
            .map(|one| format!("{} ({})", one.contender, one.why))
            .collect();
        if !left_out.is_empty() {
            writeln!(text, "Not measured: {}.\n", left_out.join("; ")).ok();
        }
    }
    text
}

/// The median with its unit; for the others, its ratio to podlan's, with the interval where there are rounds enough.
fn cell(own: &Series, podlan: Option<&Series>) -> String {
    let value = format!("{} {}", digits(own.median()), own.unit);
    let Some(podlan) = podlan.filter(|podlan| own.contender != PODLAN && podlan.median() > 0.0) else { return value };
    match Interval::of_pairs(&own.samples, &podlan.samples) {
        Some(Interval { low, ratio, high }) => {
            let [low, ratio, high] = [low, ratio, high].map(digits);
            format!("{value} ({ratio}x, {low} to {high})")
        }
        None => format!("{value} ({}x)", digits(own.median() / podlan.median())),
    }
}

/// The high percentiles of many samples.
fn tail(own: &Series) -> String {
    if own.samples.len() < MANY {
        return String::new();
    }
    format!("; p90 {}, p99 {}", digits(own.quantile(0.9)), digits(own.quantile(0.99)))
}

/// Three significant digits.
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
