//! The bars of podlan: ratios of samples of one run that were taken in turn, each with its interval and its verdict.

use std::fmt::Write as _;

use podlan_conformance::judge::{Bound, Counts, Interval, Verdict};
use serde_json::{Value, json};

use crate::contender::{FLOOR, PEER, PODLAN, again};
use crate::figures::Figures;

/// One bar: podlan's samples in a case, compared with another's.
struct Bar {
    part: &'static str,
    case: String,
    own: &'static str,
    other: (String, String),
    bound: Bound,
}

use Bound::{AtLeast, AtMost, TimesFaster};

/// A ratio of 0.95 is a tie where neither side is steadier than that.
const TIE: f64 = 0.95;

/// The part that has the counts.
const COUNTS: &str = "calls";

fn all(figures: &Figures) -> Vec<Bar> {
    let bar = |part, case: &str, other: &str, bound| Bar {
        part,
        case: case.to_owned(),
        own: PODLAN,
        other: (case.to_owned(), other.to_owned()),
        bound,
    };
    let mut bars = vec![
        bar("pods", "ADD v4, 250 pods", FLOOR, AtMost(1.2)),
        bar("pods", "ADD dual, 250 pods", FLOOR, AtMost(1.2)),
        bar("pods", "ADD v4, 0 pods", PEER, TimesFaster(6.0)),
        bar("pods", "ADD dual, 0 pods", PEER, TimesFaster(500.0)),
        bar("pods", "DEL v4, 250 pods", FLOOR, AtMost(1.15)),
        bar("pods", "DEL dual, 250 pods", FLOOR, AtMost(1.15)),
        bar("cpu", "ADD v4, 250 pods", FLOOR, AtMost(2.0)),
        bar("crowd", "100 ADDs at once", FLOOR, AtMost(1.1)),
    ];
    // To be faster than the fastest is to be faster than each.
    let others = figures.all().iter().filter(|s| s.part == "crowd" && s.case == "100 ADDs at once");
    let peers = others.map(|s| s.contender.as_str()).filter(|name| ![PODLAN, FLOOR, &again(FLOOR)].contains(name));
    bars.extend(peers.map(|peer| bar("crowd", "100 ADDs at once", peer, TimesFaster(3.0))));
    bars.push(Bar {
        own: "podlan-ipam",
        other: ("ADD, 250 leases".to_owned(), "podlan-ipam".to_owned()),
        ..bar("ipam", "ADD, 1000000 leases", "podlan-ipam", AtMost(1.3))
    });
    bars.push(Bar { own: "podlan-node", ..bar("agent", "10000 routes from nothing", "ip -batch", AtMost(2.0)) });
    for families in ["v4", "dual"] {
        for case in [format!("ADD {families}"), format!("ADD {families}, a host port")] {
            let other = (format!("ADD {families}"), FLOOR.to_owned());
            bars.push(Bar { other, ..bar("installed", &case, FLOOR, AtMost(1.2)) });
        }
        bars.push(bar("installed", &format!("DEL {families}"), FLOOR, AtMost(1.15)));
    }
    for series in figures.all().iter().filter(|s| s.part == "datapath" && s.contender == PODLAN) {
        for peer in [PEER, "bridge (newest)"] {
            let bound = if series.unit == "us" { AtMost(1.0 / TIE) } else { AtLeast(TIE) };
            bars.push(bar("datapath", &series.case, peer, bound));
        }
    }
    bars
}

/// A bar that was measured.
struct Judged {
    bar: Bar,
    ratio: Option<Interval>,
    /// The other's program beside itself, or the floor's.
    twin: Option<Interval>,
    /// The ratio that follows from counts.
    counts: Option<f64>,
    verdict: Verdict,
}

fn judged(figures: &Figures) -> impl Iterator<Item = Judged> + '_ {
    all(figures).into_iter().filter_map(move |bar| {
        let (own, other) =
            (figures.of(bar.part, &bar.case, bar.own)?, figures.of(bar.part, &bar.other.0, &bar.other.1)?);
        let ratio = Interval::of_pairs(&own.samples, &other.samples);
        let twin = beside_itself(figures, &bar, &bar.other.1).or_else(|| beside_itself(figures, &bar, FLOOR));
        let counts = by_counts(figures, &bar);
        let verdict = bar.bound.judge(ratio, twin, counts);
        Some(Judged { bar, ratio, twin, counts, verdict })
    })
}

/// The same program under two names, in the case of the bar's other side.
fn beside_itself(figures: &Figures, bar: &Bar, name: &str) -> Option<Interval> {
    let of = |name: &str| figures.of(bar.part, &bar.other.0, name);
    Interval::of_pairs(&of(&again(name))?.samples, &of(name)?.samples)
}

/// The ratio to the floor that follows from the counts of both. The floor's time is its tenth percentile: what it takes
/// where nothing disturbs it.
fn by_counts(figures: &Figures, bar: &Bar) -> Option<f64> {
    // `ADD v4, 250 pods` is counted as `ADD v4`. A host port and a crowd are not counted.
    let (case, beside) = bar.case.split_once(", ").unwrap_or((&bar.case, " pods"));
    if bar.other.1 != FLOOR || !beside.ends_with(" pods") {
        return None;
    }
    let count = |who: &str, what: &str| Some(figures.of(COUNTS, &format!("{case}, {what}"), who)?.median());
    let counts = |who: &str| {
        Some(Counts {
            instructions: count(who, "instructions")?,
            system_calls: count(who, "system calls")?,
            page_faults: count(who, "page faults")?,
            netlink_requests: count(who, "netlink requests")?,
        })
    };
    let floor = figures.of(bar.part, &bar.other.0, FLOOR)?.quantile(0.1);
    Some(counts(PODLAN)?.ratio(&counts(FLOOR)?, floor))
}

/// Each bar with its verdict, one a line; those that were not measured are left out.
pub(crate) fn judge(figures: &Figures) -> String {
    let mut text = String::from("Bars (medians of paired ratios in this run, and between what they are with 95 %):\n");
    for Judged { bar: Bar { part, case, own, other: (_, other), bound }, ratio, twin, counts, verdict } in
        judged(figures)
    {
        let said = ratio.map_or_else(|| "fewer than 6 rounds".to_owned(), |ratio| bound.describe(&ratio));
        write!(text, "  {verdict:16} {part}: {case}: {own} over {other}: {said}").ok();
        if !matches!(verdict, Verdict::Held | Verdict::Missed) {
            let twin = twin.map_or_else(
                || "; nothing was measured beside itself".to_owned(),
                |Interval { low, high, .. }| format!("; beside itself {low:.2} to {high:.2}"),
            );
            let counts = counts.map_or_else(String::new, |ratio| format!("; by counts {ratio:.2}x"));
            write!(text, "{twin}{counts}").ok();
        }
        text.push('\n');
    }
    text
}

/// The same for programs.
pub(crate) fn as_json(figures: &Figures) -> Value {
    let interval = |of: Option<Interval>| {
        let round = |value: f64| (value * 1e4).round() / 1e4;
        of.map(|Interval { low, ratio, high }| json!({ "low": round(low), "ratio": round(ratio), "high": round(high) }))
    };
    let bars = judged(figures).map(|Judged { bar, ratio, twin, counts, verdict }| {
        let Bar { part, case, own, other: (other_case, other), bound } = bar;
        let (kind, bar) = match bound {
            AtMost(bar) => ("atMost", bar),
            AtLeast(bar) => ("atLeast", bar),
            TimesFaster(bar) => ("timesFaster", bar),
        };
        json!({
            "part": part, "case": case, "own": own, "otherCase": other_case, "other": other, kind: bar,
            "ownOverOther": interval(ratio), "besideItself": interval(twin), "byCounts": counts,
            "verdict": verdict.to_string(),
        })
    });
    bars.collect()
}
