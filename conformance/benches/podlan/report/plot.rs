//! The plots: for each case a bar for each contender, as long as its median, with a line from the 10th to the 99th
//! percentile. The scale is logarithmic: podlan's milliseconds and a peer's seconds must both be visible.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::table::digits;
use crate::Failure;
use crate::contender::{FLOOR, PODLAN};
use crate::figures::{Figures, Series};

/// One plot: its file, its title, its part, and which of the part's cases.
struct Plot {
    file: &'static str,
    title: &'static str,
    part: &'static str,
    chosen: fn(&str) -> bool,
}

const PLOTS: [Plot; 4] = [
    Plot {
        file: "add.svg",
        title: "ADD, exec to exit, ms",
        part: "pods",
        chosen: |case| case.starts_with("ADD") && (case.ends_with("v4, 250 pods") || case.ends_with("dual, 0 pods")),
    },
    Plot { file: "crowd.svg", title: "ADDs at once, ms", part: "crowd", chosen: |_| true },
    Plot {
        file: "lease.svg",
        title: "A lease, exec to exit, ms",
        part: "ipam",
        chosen: |case| case.starts_with("ADD"),
    },
    Plot {
        file: "stream.svg",
        title: "TCP stream, Gbit/s",
        part: "datapath",
        chosen: |case| case.starts_with("TCP stream"),
    },
];

/// Pixels: the left end of the bars, the length of the longest, the height of a row, the height of the part above.
const LEFT: f64 = 270.0;
const LONG: f64 = 520.0;
const ROW: f64 = 22.0;
const TOP: f64 = 44.0;

/// Writes one SVG for each plot that there are figures for, and returns the Markdown that shows them.
pub(crate) fn plots(figures: &Figures, folder: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    for plot in PLOTS {
        let series: Vec<&Series> =
            figures.all().iter().filter(|s| s.part == plot.part && (plot.chosen)(&s.case)).collect();
        if !series.is_empty() {
            fs::write(folder.join(plot.file), draw(plot.title, &series))?;
            writeln!(text, "![{}]({})\n", plot.title, plot.file)?;
        }
    }
    Ok(text)
}

fn draw(title: &str, series: &[&Series]) -> String {
    let scale = Scale::of(series);
    let mut rows = String::new();
    let mut y = TOP;
    for series in series {
        let (middle, label) = (y + ROW / 2.0, format!("{}: {}", series.case, series.contender));
        let (low, median, high) = (series.quantile(0.1), series.median(), series.quantile(0.99));
        let [low, end, high] = [low, median, high].map(|value| scale.at(value));
        let _ = writeln!(
            rows,
            "<text x='{}' y='{:.1}' text-anchor='end'>{label}</text>\
             <rect x='{LEFT}' y='{:.1}' width='{:.1}' height='{:.1}' fill='{}'/>\
             <path d='M{low:.1} {middle:.1}H{high:.1}' stroke='#222'/>\
             <text x='{:.1}' y='{:.1}'>{}</text>",
            LEFT - 8.0,
            middle + 4.0,
            y + 3.0,
            end - LEFT,
            ROW - 6.0,
            colour(&series.contender),
            high.max(end) + 6.0,
            middle + 4.0,
            digits(median),
        );
        y += ROW;
    }
    let (width, height) = (LEFT + LONG + 70.0, y + 12.0);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='#fff'/>\n\
         <text x='12' y='22' font-size='15'>{title} (logarithmic; bar: median, line: p10 to p99)</text>\n{rows}</svg>\n"
    )
}

fn colour(contender: &str) -> &'static str {
    match contender {
        PODLAN | "podlan-ipam" | "podlan-node" => "#2a6fb0",
        FLOOR => "#999",
        _ => "#e0963f",
    }
}

/// From values to pixels, by their logarithms.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    /// The least value has a short bar too.
    fn of(series: &[&Series]) -> Self {
        let least = series.iter().map(|s| s.quantile(0.1)).fold(f64::INFINITY, f64::min) / 1.5;
        let most = series.iter().map(|s| s.quantile(0.99)).fold(0.0, f64::max);
        Self { least, most }
    }

    fn at(&self, value: f64) -> f64 {
        LEFT + LONG * (value / self.least).ln() / (self.most / self.least).ln()
    }
}
