//! The node's own decision on a packet: whether it forwards, by which route, through which rules, and with which source
//! address. Pure.

use netlink::{Family, NODE_ROUTE, POD_ROUTE, Route};
use nix::errno::Errno;

use super::hop::{Hop, State};
use crate::doctor::finding::Problem;
use facts::legs::{At, Leg};
use filter::forward::By;
use pods::forwarding::Off;
use routes::Target;
use routes::protocol;

pub(super) fn node(leg: &Leg) -> Hop {
    let mut hop = route(leg);
    hop.route = leg.entry.as_ref().map(|entry| shown(entry, leg));
    let mut problems: Vec<Problem> = forwarding(leg).into_iter().collect();
    let mut blind = Vec::new();
    match &leg.dropped {
        Ok(dropped) => {
            problems.extend(dropped.iter().filter(|found| found.certain).map(|found| {
                let by = if found.by == By::Policy { "by its policy" } else { "by a rule" };
                Problem::new(
                    format!("the chain {} drops it {by}", found.chain),
                    "it does not pass, whatever the routes and podlan's own rules are",
                    found.cure.clone(),
                )
            }));
            blind.extend(
                dropped.iter().filter(|found| !found.certain).map(|found| format!("{} may drop it", found.chain)),
            );
        }
        Err(error) => blind.push(error.clone()),
    }
    match &leg.translated {
        Ok(translated) => {
            problems.extend(translated.iter().filter(|found| found.certain).map(|found| {
                Problem::new(
                    format!("the chain {} translates its source address", found.chain),
                    format!("{} does not see {}, but an address of this node", leg.to.address, leg.from.address),
                    "find the program that made the rule: nft list ruleset; traffic between pods must not be \
                     translated",
                )
            }));
            let unsure = translated.iter().filter(|found| !found.certain);
            blind.extend(unsure.map(|found| format!("{} may translate its address", found.chain)));
        }
        Err(error) => blind.push(error.clone()),
    }
    if hop.state == State::Ok {
        hop.text.push_str("; it forwards");
        if problems.is_empty() && blind.is_empty() {
            hop.text.push_str(", no rule drops or translates it");
        }
    }
    if !blind.is_empty() {
        hop.text = format!("{}; {}", hop.text, blind.join("; "));
        hop.state = if hop.state == State::Ok { State::Unknown } else { hop.state };
    }
    hop.with(problems)
}

fn forwarding(leg: &Leg) -> Option<Problem> {
    let family = Family::of(leg.from.address);
    let off = leg.forwarding.as_ref().ok()?.as_ref()?;
    let why = match off {
        Off::LinksV4(_) => format!(
            "the node drops every {family} packet that arrives there and is not for the node \
                                    itself"
        ),
        Off::NodeV4(_) | Off::V6(_) => format!("the node drops every {family} packet that is not for the node itself"),
    };
    Some(Problem::new(off.to_string(), why, format!("podlan-node doctor --fix, or: {}", off.cure())))
}

/// The route that it takes, compared with the desired one.
fn route(leg: &Leg) -> Hop {
    let at = |text: String| Hop::at("node", format!("{}: {text}", leg.node));
    let Some(answer) = &leg.answer else {
        return at("not asked: it is not known on which link the packet would arrive".to_owned()).but(State::Cut);
    };
    let off = forwarding(leg).is_some();
    let usable = |link: &netlink::Link| link.up;
    let cut = leg.outgoing.as_ref().is_some_and(|link| !usable(link))
        || leg.incoming.as_ref().is_some_and(|link| !usable(link))
        || leg.to.is_here() && leg.outgoing.is_none();
    let answer = match answer {
        // The link of its arrival reports a refused source.
        Err(_) if leg.is_refused_at_source() => {
            return at("the packet does not get this \
                                                           far"
            .to_owned())
            .but(State::Cut);
        }
        Err(_) if off || cut => {
            return at("no route, because of what is wrong at another \
                                           hop"
            .to_owned())
            .but(State::Cut);
        }
        Err(errno) => return at("no route".to_owned()).with([unroutable(leg, *errno)]),
        Ok(answer) => answer,
    };
    let entry = leg.entry.as_ref().unwrap_or(answer);
    let shown = shown(entry, leg);
    let hop = Hop { next_hop: answer.gateway, ..at(shown.clone()) };
    match wanted(leg) {
        Some(wanted) if wanted.is(answer) && entry.protocol == wanted.protocol => hop,
        Some(_) if cut => hop.but(State::Cut),
        Some(wanted) => hop.with([astray(&shown, entry, &wanted, leg)]),
        // A more specific route of another program (a routing daemon) counts; the default route does not.
        None if entry.destination.prefix() > 0 => {
            Hop { text: format!("{} (podlan wants none: {})", hop.text, verdict(leg)), ..hop }
        }
        None => {
            let problem = Problem::new(
                format!(
                    "{} is routed like an address outside the cluster, by `{shown}`: {}",
                    leg.to.address,
                    verdict(leg)
                ),
                "pods of that node are unreachable from this node",
                "podlan-node status and podlan-node doctor, check nodes, say why podlan makes no route",
            );
            hop.with([problem])
        }
    }
}

/// The desired route for a packet.
struct Wanted {
    target: Target,
    protocol: u8,
}

impl Wanted {
    fn is(&self, taken: &Route) -> bool {
        match self.target {
            Target::Hop { via, link, .. } if self.protocol == NODE_ROUTE => {
                taken.gateway == Some(via) && taken.device == Some(link)
            }
            Target::Hop { link, .. } => taken.device == Some(link) && taken.gateway.is_none(),
            Target::Unreachable | Target::Foreign => false,
        }
    }
}

fn wanted(leg: &Leg) -> Option<Wanted> {
    match &leg.to.at {
        At::Here(_) => {
            let link = leg.outgoing.as_ref()?.index;
            let target = Target::Hop { via: leg.to.address, link, onlink: false };
            Some(Wanted { target, protocol: POD_ROUTE })
        }
        At::Peer(peer) => {
            let target = peer.wanted.filter(|target| matches!(target, Target::Hop { .. }))?;
            Some(Wanted { target, protocol: NODE_ROUTE })
        }
    }
}

fn verdict(leg: &Leg) -> &str {
    match &leg.to.at {
        At::Peer(peer) => &peer.verdict,
        At::Here(_) => "no pod here has it",
    }
}

fn should_be(wanted: &Wanted, leg: &Leg) -> String {
    let link = leg.outgoing.as_ref().map_or("", |link| link.name.as_str());
    match wanted.target {
        Target::Hop { via, .. } if wanted.protocol == NODE_ROUTE => format!("via {via} on {link}"),
        _ => format!("on {link}"),
    }
}

fn unroutable(leg: &Leg, errno: Errno) -> Problem {
    let is = match &leg.entry {
        Some(entry) => format!("it matches `{}` ({errno})", shown(entry, leg)),
        None => format!("there is no route ({errno})"),
    };
    let Some(wanted) = wanted(leg) else {
        let (why, cure) =
            ("packets to it are not delivered", "podlan-node status and podlan-node doctor, check nodes, say why");
        return Problem::new(format!("{} is not routed, {is}: {}", leg.to.address, verdict(leg)), why, cure);
    };
    let wrong = format!("{} is not routed, {is}; it should go {}", leg.to.address, should_be(&wanted, leg));
    match leg.entry.as_ref().filter(|entry| ![NODE_ROUTE, POD_ROUTE].contains(&entry.protocol)) {
        Some(thief) if thief.destination.prefix() > 0 => stolen(wrong, thief),
        _ => missing(wrong, &wanted, leg),
    }
}

fn astray(shown: &str, entry: &Route, wanted: &Wanted, leg: &Leg) -> Problem {
    let wrong = format!("it goes by `{shown}`, it should go {} by podlan's own route", should_be(wanted, leg));
    let ours = [NODE_ROUTE, POD_ROUTE].contains(&entry.protocol);
    if ours || entry.destination.prefix() == 0 { missing(wrong, wanted, leg) } else { stolen(wrong, entry) }
}

fn missing(wrong: String, wanted: &Wanted, leg: &Leg) -> Problem {
    if wanted.protocol == POD_ROUTE {
        let link = leg.outgoing.as_ref().map_or("", |link| link.name.as_str());
        let cure = format!("ip route replace {} dev {link} proto {POD_ROUTE}; or create the pod again", leg.to.address);
        return Problem::new(wrong, "the plugin made that route with the pod, and another program removed it", cure);
    }
    Problem::new(
        wrong,
        "pods of that node are unreachable from this node",
        "podlan-node doctor --fix has the agent restore it; if it disappears again, another program removes it: ip \
         monitor route",
    )
}

fn stolen(wrong: String, thief: &Route) -> Problem {
    let (number, destination) = (thief.protocol, thief.destination);
    Problem::new(
        wrong,
        "a route of another program takes precedence over podlan's; podlan never removes a route that it did not make",
        format!(
            "find the program that made it (protocol {number}: {}), stop it, then: ip {}route del {destination} \
             metric {} proto {number}",
            protocol::maker(number),
            if destination.is_ipv6() { "-6 " } else { "" },
            thief.metric,
        ),
    )
}

/// As `ip route` shows it, links and protocols by name.
pub(super) fn shown(route: &Route, leg: &Leg) -> String {
    let kind = match route.kind {
        netlink::RouteKind::Unicast => "",
        netlink::RouteKind::Unreachable => "unreachable ",
        // `RTN_BLACKHOLE`, `RTN_PROHIBIT`, `RTN_THROW`.
        netlink::RouteKind::Other(6) => "blackhole ",
        netlink::RouteKind::Other(8) => "prohibit ",
        netlink::RouteKind::Other(9) => "throw ",
        netlink::RouteKind::Other(_) => "special ",
    };
    let links = [&leg.taken, &leg.outgoing, &leg.incoming];
    let link = route.device.map(|index| {
        let known = links.into_iter().flatten().find(|link| link.index == index);
        known.map_or_else(|| format!("link {index}"), |link| link.name.clone())
    });
    let via = route.gateway.map(|via| format!(" via {via}")).unwrap_or_default();
    let dev = link.map(|link| format!(" dev {link}")).unwrap_or_default();
    format!("{kind}{}{via}{dev} proto {}", route.destination, protocol::name(route.protocol))
}
