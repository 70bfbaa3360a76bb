//! The node's own decision on a packet: whether it forwards, by which route, through which rules, and with which source
//! address. Pure.

use netlink::{Family, NODE_ROUTE, POD_ROUTE, PolicyRule, Route};
use nix::errno::Errno;

use super::hop::{Hop, State};
use crate::cure;
use conditions::{Condition, Kind};
use facts::legs::{At, Leg};
use filter::translation::Side;
use pods::forwarding::Off;
use routes::Target;
use routes::protocol;

pub(super) fn node(leg: &Leg) -> Hop {
    let mut hop = route(leg);
    hop.route = leg.entry.as_ref().map(|entry| shown(entry, leg));
    let mut problems: Vec<Condition> = forwarding(leg).into_iter().collect();
    let mut blind = Vec::new();
    match &leg.dropped {
        Ok(dropped) => {
            problems.extend(dropped.iter().filter(|found| found.certain).map(|found| {
                Condition::new(
                    Kind::ForwardDrop,
                    found.chain.as_str(),
                    format!("the chain {} drops it {}", found.place(), found.by()),
                )
                .because("it does not pass, whatever the routes and podlan's own rules are")
                .decided_by_a_person(found.cure.clone())
            }));
            blind.extend(
                dropped.iter().filter(|found| !found.certain).map(|found| format!("{} may drop it", found.place())),
            );
        }
        Err(error) => blind.push(error.clone()),
    }
    match &leg.translated {
        Ok(translated) => {
            problems.extend(translated.iter().filter(|found| found.certain).map(|found| {
                Condition::new(
                    Kind::AddressTranslated,
                    found.chain.as_str(),
                    format!("the chain {} translates its {} address", found.place(), side(found.side)),
                )
                .because(match found.side {
                    Side::Source => {
                        format!("{} does not see {}, but an address of this node", leg.to.address, leg.from.address)
                    }
                    Side::Destination => format!("it does not reach {}", leg.to.address),
                })
                .decided_by_a_person(
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

fn side(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Destination => "destination",
    }
}

fn forwarding(leg: &Leg) -> Option<Condition> {
    let family = Family::of(leg.from.address);
    let off = leg.forwarding.as_ref().ok()?.as_ref()?;
    let why = match off {
        Off::LinksV4(_) => {
            format!("the node drops every {family} packet that arrives there and is not for the node itself")
        }
        Off::NodeV4(_) | Off::V6(_) => format!("the node drops every {family} packet that is not for the node itself"),
    };
    Some(
        Condition::new(Kind::ForwardingOff, family.to_string(), off.to_string())
            .because(why)
            .decided_by_a_person(format!("podlan-node doctor --fix, or: {}", off.cure()))
            .by_command(off.cure()),
    )
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
            return at("the packet does not get this far".to_owned()).but(State::Cut);
        }
        Err(_) if off || cut => {
            return at("no route, because of what is wrong at another hop".to_owned()).but(State::Cut);
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
            let problem = Condition::new(
                Kind::PeerNotRouted,
                leg.to.address.to_string(),
                format!(
                    "{} is routed like an address outside the cluster, by `{shown}`: {}",
                    leg.to.address,
                    verdict(leg)
                ),
            )
            .decided_by_a_person(
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

fn unroutable(leg: &Leg, errno: Errno) -> Condition {
    let is = match &leg.entry {
        Some(entry) => format!("it matches `{}` ({errno})", shown(entry, leg)),
        None => format!("there is no route ({errno})"),
    };
    let Some(wanted) = wanted(leg) else {
        let (why, cure) =
            ("packets to it are not delivered", "podlan-node status and podlan-node doctor, check nodes, say why");
        return Condition::new(
            Kind::PeerNotRouted,
            leg.to.address.to_string(),
            format!("{} is not routed, {is}: {}", leg.to.address, verdict(leg)),
        )
        .because(why)
        .decided_by_a_person(cure);
    };
    let wrong = format!("{} is not routed, {is}; it should go {}", leg.to.address, should_be(&wanted, leg));
    if let Some((rule, route)) = &leg.rule {
        return ruled(rule, route.as_ref(), &wanted, leg);
    }
    match leg.entry.as_ref().filter(|entry| ![NODE_ROUTE, POD_ROUTE].contains(&entry.protocol)) {
        Some(thief) if thief.destination.prefix() > 0 => stolen(wrong, thief),
        _ => missing(wrong, &wanted, leg),
    }
}

fn astray(shown: &str, entry: &Route, wanted: &Wanted, leg: &Leg) -> Condition {
    if let Some((rule, route)) = &leg.rule {
        return ruled(rule, route.as_ref(), wanted, leg);
    }
    let wrong = format!("it goes by `{shown}`, it should go {} by podlan's own route", should_be(wanted, leg));
    let ours = [NODE_ROUTE, POD_ROUTE].contains(&entry.protocol);
    if ours || entry.destination.prefix() == 0 { missing(wrong, wanted, leg) } else { stolen(wrong, entry) }
}

/// A policy rule leads it to another table.
fn ruled(rule: &PolicyRule, route: Option<&Route>, wanted: &Wanted, leg: &Leg) -> Condition {
    let by = route.map_or_else(|| "nowhere".to_owned(), |route| format!("by `{}`", shown(route, leg)));
    let wrong = format!(
        "the policy rule `{rule}` sends it {by}; it should go {} by podlan's own route",
        should_be(wanted, leg)
    );
    Condition::new(Kind::PolicyRule, rule.priority.to_string(), wrong).decided_by_a_person(
        "except the pod CIDRs from that rule where it is configured (netplan, cloud-init, NetworkManager, a VPN); \
         podlan-node doctor, check policy-rules, has the commands",
    )
}

fn missing(wrong: String, wanted: &Wanted, leg: &Leg) -> Condition {
    if wanted.protocol == POD_ROUTE {
        let link = leg.outgoing.as_ref().map_or("", |link| link.name.as_str());
        let source = leg.to.pod().and_then(|pod| pod.host_source);
        return Condition::new(Kind::PodRouteMissing, leg.to.address.to_string(), wrong).cured_by(cure::pod_route(
            leg.to.address,
            link,
            source,
        ));
    }
    Condition::new(Kind::RouteMissing, leg.to.address.to_string(), wrong)
        .decided_by_a_person(
            "a running agent restores it; without one podlan-node doctor, check routes, has the command; if it \
             disappears again, another program removes it: ip monitor route",
        )
        .by_command("podlan-node doctor --fix")
}

fn stolen(wrong: String, thief: &Route) -> Condition {
    let (number, destination) = (thief.protocol, thief.destination);
    Condition::new(Kind::RouteReplaced, destination.to_string(), wrong)
        .because(
            "a route of another program takes precedence over podlan's; podlan never removes a route that it did not \
             make",
        )
        .decided_by_a_person(format!(
            "find the program that made it (protocol {number}: {}), and stop it or have it leave out this subnet; \
             podlan-node doctor, check foreign-routes or routes, has the command where one is safe",
            protocol::maker(number),
        ))
}

/// As `ip route` shows it, links and protocols by name.
pub(super) fn shown(route: &Route, leg: &Leg) -> String {
    let links = [&leg.taken, &leg.outgoing, &leg.incoming];
    let name = |index| links.into_iter().flatten().find(|link| link.index == index).map(|link| link.name.clone());
    format!("{} proto {}", route.shown(name), protocol::name(route.protocol))
}
