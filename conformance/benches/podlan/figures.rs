//! Figures as values: what was measured, of which contender, in which case, every single sample; and statistics of
//! them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Failure;

/// The samples of one contender in one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// The part of the benchmark: `pods`, `crowd`, `ipam`, …
    pub(crate) part: String,
    /// What was done: `ADD v4, 250 pods`.
    pub(crate) case: String,
    /// The contender.
    pub(crate) contender: String,
    /// Of the samples: `ms`, `us`, `syscalls`, `Gbit/s`, …
    pub(crate) unit: String,
    /// In the order in which they were taken.
    pub(crate) samples: Vec<f64>,
}

/// A contender that was not measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeftOut {
    /// The part of the benchmark.
    pub(crate) part: String,
    /// The contender.
    pub(crate) contender: String,
    /// The reason.
    pub(crate) why: String,
}

/// All figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    series: Vec<Series>,
    left_out: Vec<LeftOut>,
}

impl Figures {
    /// No figures yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// All series, in the order in which they were begun.
    pub(crate) fn all(&self) -> &[Series] {
        &self.series
    }

    /// Adds one sample.
    pub(crate) fn add(&mut self, part: &str, case: &str, contender: &str, unit: &str, sample: f64) {
        let same = |s: &&mut Series| s.part == part && s.case == case && s.contender == contender;
        if let Some(series) = self.series.iter_mut().find(same) {
            series.samples.push(sample);
            return;
        }
        let [part, case, contender, unit] = [part, case, contender, unit].map(str::to_owned);
        self.series.push(Series { part, case, contender, unit, samples: vec![sample] });
    }

    /// Says why a contender has no figures in a part.
    pub(crate) fn leave_out(&mut self, part: &str, contender: &str, why: &str) {
        eprintln!("left out: {contender}: {why}");
        let [part, contender, why] = [part, contender, why].map(str::to_owned);
        self.left_out.push(LeftOut { part, contender, why });
    }

    /// What was left out.
    pub(crate) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Merges newer figures: they replace all older ones of the same part.
    pub(crate) fn merge(&mut self, newer: Self) {
        self.left_out.retain(|old| newer.series.iter().all(|new| new.part != old.part));
        self.left_out.extend(newer.left_out);
        self.series.retain(|series| newer.series.iter().all(|new| new.part != series.part));
        self.series.extend(newer.series);
    }

    /// One contender's samples in one case.
    pub(crate) fn of(&self, part: &str, case: &str, contender: &str) -> Option<&Series> {
        self.series.iter().find(|s| s.part == part && s.case == case && s.contender == contender)
    }

    /// Writes them as JSON, with facts about the machine.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let series = self.series.iter().map(|series| {
            let Series { part, case, contender, unit, samples } = series;
            let samples: Vec<f64> = samples.iter().map(|sample| (sample * 1e4).round() / 1e4).collect();
            json!({ "part": part, "case": case, "contender": contender, "unit": unit, "samples": samples })
        });
        let whole = json!({
            "kernel": read("/proc/sys/kernel/osrelease"),
            "cpus": std::thread::available_parallelism()?.get(),
            "load": read("/proc/loadavg"),
            "series": series.collect::<Vec<_>>(),
            "leftOut": self.left_out.iter().map(|LeftOut { part, contender, why }| {
                json!({ "part": part, "contender": contender, "why": why })
            }).collect::<Vec<_>>(),
        });
        Ok(fs::write(path, serde_json::to_string(&whole)? + "\n")?)
    }

    /// Reads the file of an earlier run.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let whole: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let series = whole["series"].as_array().into_iter().flatten().map(|series| {
            let text = |key: &str| series[key].as_str().unwrap_or_default().to_owned();
            let samples = series["samples"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            Series { part: text("part"), case: text("case"), contender: text("contender"), unit: text("unit"), samples }
        });
        let left_out = whole["leftOut"].as_array().into_iter().flatten().map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            LeftOut { part: text("part"), contender: text("contender"), why: text("why") }
        });
        Ok(Self { series: series.collect(), left_out: left_out.collect() })
    }
}

impl Series {
    /// The middle sample.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The sample below which a share of all lies.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }
}
