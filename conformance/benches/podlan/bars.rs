//! The bars of podlan: ratios of medians of one run.

use std::fmt::Write as _;

use crate::contender::{FLOOR, PEER, PODLAN};
use crate::figures::Figures;

/// One bar: podlan's median in a case, divided by (or dividing) another's.
struct Bar {
    part: &'static str,
    case: String,
    own: &'static str,
    other: (String, &'static str),
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    /// Own over the other's.
    AtMost(f64),
    /// The other's over own.
    TimesFaster(f64),
    /// Own over the other's.
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost, TimesFaster};

/// A ratio of 0.95 is a tie where neither side is steadier than that.
const TIE: f64 = 0.95;

fn all(figures: &Figures) -> Vec<Bar> {
    let pods = |case: &str, other, bound| Bar {
        part: "pods",
        case: case.to_owned(),
        own: PODLAN,
        other: (case.to_owned(), other),
        bound,
    };
    let mut bars = vec![
        pods("ADD v4, 250 pods", FLOOR, AtMost(1.2)),
        pods("ADD dual, 250 pods", FLOOR, AtMost(1.2)),
        pods("ADD v4, 0 pods", PEER, TimesFaster(6.0)),
        pods("ADD dual, 0 pods", PEER, TimesFaster(500.0)),
        pods("DEL v4, 250 pods", FLOOR, AtMost(1.15)),
        pods("DEL dual, 250 pods", FLOOR, AtMost(1.15)),
        Bar { part: "cpu", ..pods("ADD v4, 250 pods", FLOOR, AtMost(2.0)) },
        Bar { part: "crowd", ..pods("100 ADDs at once", PEER, TimesFaster(4.0)) },
        Bar {
            part: "ipam",
            case: "ADD, 1000000 leases".to_owned(),
            own: "podlan-ipam",
            other: ("ADD, 250 leases".to_owned(), "podlan-ipam"),
            bound: AtMost(1.3),
        },
        Bar { part: "agent", own: "podlan-node", ..pods("10000 routes from nothing", "ip -batch", AtMost(2.0)) },
    ];
    for families in ["v4", "dual"] {
        let floor = |verb: &str| (format!("{verb} {families}"), FLOOR);
        for case in [format!("ADD {families}"), format!("ADD {families}, a host port")] {
            let own = PODLAN;
            bars.push(Bar { part: "installed", case, own, other: floor("ADD"), bound: AtMost(1.2) });
        }
        let case = format!("DEL {families}");
        bars.push(Bar { part: "installed", case, own: PODLAN, other: floor("DEL"), bound: AtMost(1.15) });
    }
    for series in figures.all().iter().filter(|s| s.part == "datapath" && s.contender == PODLAN) {
        for peer in [PEER, "bridge (newest)"] {
            let bound = if series.unit == "us" { AtMost(1.0 / TIE) } else { AtLeast(TIE) };
            bars.push(Bar { part: "datapath", ..pods(&series.case, peer, bound) });
        }
    }
    bars
}

/// Each bar with the measured ratio, one a line; those that were not measured are left out.
pub(crate) fn judge(figures: &Figures) -> String {
    let mut text = String::from("Bars (ratios of medians in this run):\n");
    for Bar { part, case, own, other: (other_case, other), bound } in all(figures) {
        let (Some(mine), Some(theirs)) = (figures.of(part, &case, own), figures.of(part, &other_case, other)) else {
            continue;
        };
        let ratio = mine.median() / theirs.median();
        let (held, said) = match bound {
            AtMost(bar) => (ratio <= bar, format!("{ratio:.2}x, at most {bar:.2}x")),
            AtLeast(bar) => (ratio >= bar, format!("{ratio:.2}x, at least {bar:.2}x")),
            TimesFaster(bar) => (1.0 / ratio >= bar, format!("{:.1}x faster, at least {bar:.0}x", 1.0 / ratio)),
        };
        let verdict = if held { "held  " } else { "MISSED" };
        writeln!(text, "  {verdict} {part}: {case}: {own} over {other}: {said}").ok();
    }
    text
}
