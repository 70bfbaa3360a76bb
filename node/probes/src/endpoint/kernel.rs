//! Observes the probe endpoint, and obeys its plan. Decides nothing but which error is told.

use std::net::IpAddr;
use std::os::fd::AsFd;

use netlink::{
    Family, Hardening, Known, Link, LinkRule, Lookup, Neighbour, NewVeth, POD_ROUTE, PROBE_ROUTE, Procfs, Request,
    Route, RouteKind, Selector, Socket, Sysctl,
};
use nftables::{Chain, Cmp, Expression, Hook, Nfnetlink, Rule, Table, TableFamily};
use nix::errno::Errno;

use super::{CLASS, Change, Desired, End, Ends, INNER_LINK, OUTER_LINK, Objects, RECEIVE, SEND, desired, plan};

/// The conntrack zone of the inner pass: there a packet is another connection's than where it is forwarded.
const ZONE: u16 = 111;

/// The name of the table.
const TABLE: &str = "podlan-probe";

/// What the link says of itself.
const ALIAS: &str = "podlan path probes";

/// The MTU of the link pair: the links on the way decide, as they do for a pod.
const MTU: u32 = 65_535;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The packet filter.
    #[error("put the table {TABLE} in place: {0}")]
    PacketFilter(#[from] nftables::Error),
    /// The kernel refused a change.
    #[error("{doing}: {why}")]
    Refused {
        /// Of what.
        doing: String,
        /// In the kernel's words.
        why: String,
    },
    /// A link of that name is another program's.
    #[error("a link named {0} exists that is not podlan's")]
    Foreign(String),
}

/// Who has an address that is reserved for probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(pub String);

/// Makes the endpoint of these addresses, where it is not as it should be. True where something was changed.
pub fn ensure(socket: &mut Socket, addresses: &[IpAddr]) -> Result<bool, Error> {
    let (ends, mut changed) = ensure_links(socket)?;
    let Desired { objects, neighbours } = desired(ends, addresses);
    for change in plan(&objects, &observe(socket)?) {
        apply(socket, &change)?;
        changed = true;
    }
    for neighbour in &neighbours {
        changed |= ensure_neighbour(socket, neighbour)?;
    }
    let mut filter = Nfnetlink::requests()?;
    changed |= nftables::ensure(&mut filter, &table())?;
    Ok(changed)
}

/// Removes everything of the endpoint; returns what was removed.
pub fn remove() -> Result<Vec<String>, Error> {
    let mut socket = Socket::open()?;
    let mut removed = Vec::new();
    let observed = observe(&mut socket)?;
    for change in plan(&Objects::default(), &observed) {
        match apply(&mut socket, &change) {
            Ok(()) => removed.push(match &change {
                Change::RemoveRule(rule) => format!("the rule for packets from {}", rule.incoming),
                Change::RemoveRoute(route) | Change::AddRoute(route) => format!("the route to {}", route.destination),
                Change::AddRule(_) => String::new(),
            }),
            Err(error) => return Err(error),
        }
    }
    if let Some(link) = Link::find(&mut socket, Selector::Name(OUTER_LINK))?.filter(is_ours) {
        request(
            &mut socket,
            Link::remove(Selector::Index(link.index)),
            || format!("remove {OUTER_LINK}"),
            &[Errno::ENODEV],
        )?;
        removed.push(format!("the link {OUTER_LINK}"));
    }
    if let Some(mut filter) = Nfnetlink::if_any()?
        && nftables::remove(&mut filter, TableFamily::Inet, TABLE)?
    {
        removed.push(format!("the table inet {TABLE}"));
    }
    Ok(removed)
}

/// Who else has an address on this node: a pod, or a link.
pub fn holder(socket: &mut Socket, address: IpAddr) -> Result<Option<Holder>, Error> {
    let Some(route) = Route::ask(socket, Lookup::Entry, address)? else { return Ok(None) };
    if route.protocol == PROBE_ROUTE {
        return Ok(None);
    }
    let name = |socket: &mut Socket, index: Option<u32>| match index {
        Some(index) => Link::find(socket, Selector::Index(index)),
        None => Ok(None),
    };
    let alone = route.destination.prefix() == Family::of(address).bits();
    let is_local = matches!(route.kind, RouteKind::Other(2));
    if !alone && !is_local {
        return Ok(None);
    }
    let link = name(socket, route.device)?;
    let text = match &link {
        // The last word of a pod link's own text is the pod's namespace and name.
        Some(link) if route.protocol == POD_ROUTE => {
            match link.alias.rsplit(' ').next().filter(|word| !word.is_empty()) {
                Some(pod) => format!("the pod {pod} has it (link {})", link.name),
                None => format!("the pod of the link {} has it", link.name),
            }
        }
        Some(link) => format!("it is on the link {}, or behind it", link.name),
        None => "a route of another program leads to it".to_owned(),
    };
    Ok(Some(Holder(text)))
}

/// Whether this node has pods of a family.
pub fn has_pods(socket: &mut Socket, family: Family) -> Result<bool, Error> {
    let pods = socket.dump(Route::dump(family, POD_ROUTE), |message| Route::from_message(&message))?;
    Ok(!pods.is_empty())
}

/// Makes the pair where it is not whole. A pair without our text is one that a killed agent made.
fn ensure_links(socket: &mut Socket) -> Result<(Ends, bool), Error> {
    let mut changed = false;
    if let Some(link) = Link::find(socket, Selector::Name(OUTER_LINK))? {
        let inner = Link::find(socket, Selector::Name(INNER_LINK))?;
        let is_pair = link.veth && inner.is_some_and(|inner| link.peer == Some(inner.index));
        match (is_ours(&link), is_pair) {
            (_, true) => {}
            (true, false) => {
                let remove = Link::remove(Selector::Index(link.index));
                request(socket, remove, || format!("remove {OUTER_LINK}"), &[Errno::ENODEV])?;
            }
            (false, false) => return Err(Error::Foreign(OUTER_LINK.to_owned())),
        }
    }
    if Link::find(socket, Selector::Name(OUTER_LINK))?.is_none() {
        make_links(socket)?;
        changed = true;
    }
    let hardening = Hardening { forward_v4: false, kernel_has_v6: netlink::kernel_has_v6(), route_localnet: false };
    for name in [INNER_LINK, OUTER_LINK] {
        let found = Link::find(socket, Selector::Name(name))?;
        let link = found.ok_or_else(|| Error::Foreign(name.to_owned()))?;
        if !is_ours(&link) {
            request(socket, Link::harden(link.index, hardening, ALIAS), || format!("harden {name}"), &[])?;
            changed = true;
        }
        if name == INNER_LINK && !accepts_local() {
            request(socket, Link::accept_local(link.index), || format!("let {name} take in own addresses"), &[])?;
            changed = true;
        }
        if !link.up {
            request(socket, Link::up(link.index), || format!("set {name} up"), &[])?;
            changed = true;
        }
    }
    Ok((Ends { outer: end(socket, OUTER_LINK)?, inner: end(socket, INNER_LINK)? }, changed))
}

/// Whether the inner end takes in packets whose source is this node's own: a rule that translates what goes to pods gives them
/// one. True where that cannot be read.
fn accepts_local() -> bool {
    let setting = Sysctl::of_link(Family::V4, INNER_LINK, "accept_local").read(&Procfs::of_machine());
    !matches!(setting, Ok(Some(value)) if value.trim() == "0")
}

fn is_ours(link: &Link) -> bool {
    link.veth && link.alias == ALIAS
}

fn make_links(socket: &mut Socket) -> Result<(), Error> {
    let netns = socket.netns().map_err(|error| Error::Refused {
        doing: "open the own network namespace".to_owned(),
        why: error.to_string(),
    })?;
    // Locally administered; "podl" and the end.
    let pair = NewVeth {
        name: OUTER_LINK,
        mac: [0x02, 0x70, 0x6f, 0x64, 0x6c, 0x01],
        group: 0,
        peer_name: INNER_LINK,
        peer_mac: [0x02, 0x70, 0x6f, 0x64, 0x6c, 0x02],
        peer_netns: netns.as_fd(),
        mtu: MTU,
    };
    request(socket, pair.add(), || format!("make the links {OUTER_LINK} and {INNER_LINK}"), &[])
}

fn end(socket: &mut Socket, name: &str) -> Result<End, Error> {
    let link = Link::find(socket, Selector::Name(name))?;
    let found = link.and_then(|link| Some(End { index: link.index, mac: link.mac.try_into().ok()? }));
    found.ok_or_else(|| Error::Refused { doing: format!("look for {name}"), why: "it is gone again".to_owned() })
}

/// What is in the kernel under our number.
fn observe(socket: &mut Socket) -> Result<Objects, Error> {
    let mut objects = Objects::default();
    for family in Family::BOTH {
        let tables = [254, RECEIVE, SEND];
        let ours = |route: Route| (route.protocol == PROBE_ROUTE && tables.contains(&route.table)).then_some(route);
        for table in tables {
            let found = socket.dump(Route::dump_table(family, table, Some(PROBE_ROUTE)), |message| {
                Route::from_message(&message).and_then(ours)
            });
            match found {
                Ok(found) => objects.routes.extend(found),
                // A table that was never used is no table yet; a kernel without IPv6 has no routes of it.
                Err(netlink::Error::Dump(refused)) if is_absent(refused.errno) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ours = |rule: LinkRule| (rule.protocol == PROBE_ROUTE).then_some(rule);
        match socket.dump(LinkRule::dump(family), |message| LinkRule::from_message(&message).and_then(ours)) {
            Ok(found) => objects.rules.extend(found),
            Err(netlink::Error::Dump(refused)) if is_absent(refused.errno) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(objects)
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP)
}

fn apply(socket: &mut Socket, change: &Change) -> Result<(), Error> {
    match change {
        Change::AddRoute(route) => request(socket, route.add(), || format!("add the route {route}"), &[Errno::EEXIST]),
        Change::RemoveRoute(route) => {
            request(socket, route.remove(), || format!("remove the route {route}"), &[Errno::ESRCH])
        }
        Change::AddRule(rule) => {
            request(socket, rule.add(), || format!("add the rule for {}", rule.incoming), &[Errno::EEXIST])
        }
        Change::RemoveRule(rule) => {
            request(socket, rule.remove(), || format!("remove the rule for {}", rule.incoming), &[Errno::ENOENT])
        }
    }
}

fn ensure_neighbour(socket: &mut Socket, neighbour: &Neighbour) -> Result<bool, Error> {
    if Known::ask(socket, neighbour.address, neighbour.device)? == Known::At(neighbour.mac) {
        return Ok(false);
    }
    request(socket, neighbour.replace(), || format!("set the neighbour {}", neighbour.address), &[])?;
    Ok(true)
}

fn request(socket: &mut Socket, request: Request, doing: impl Fn() -> String, fine: &[Errno]) -> Result<(), Error> {
    for verdict in socket.request(&mut [request])? {
        match verdict {
            Err(refused) if !fine.contains(&refused.errno) => {
                return Err(Error::Refused { doing: doing(), why: refused.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// At the inner end connections are tracked in a zone of their own: a packet passes the node twice, and only the outer pass is
/// the one that is forwarded.
fn table() -> Table {
    let zone = |purpose, link: Expression| Rule {
        purpose,
        expressions: vec![
            link,
            Expression::Compare(Cmp::Equal, name(INNER_LINK)),
            Expression::Load(ZONE.to_ne_bytes().to_vec()),
            Expression::SetConnectionZone,
        ],
    };
    let classes = |purpose, link: &Expression, class: u8| {
        Family::BOTH.map(|family| Rule { purpose, expressions: set_class(link.clone(), family, class) })
    };
    let hook = |number| Hook { kind: "filter", number, priority: -300 };
    let purpose = "podlan: probes are tracked apart from what is forwarded";
    let (incoming, outgoing) = (Expression::IncomingLinkName, Expression::OutgoingLinkName);
    let mut receive = vec![zone(purpose, incoming.clone())];
    receive.extend(classes("podlan: probes are routed back by this link", &incoming, CLASS));
    let mut send = vec![zone(purpose, outgoing.clone())];
    send.extend(classes("podlan: probes leave without a class of service", &outgoing, 0));
    Table {
        family: TableFamily::Inet,
        name: TABLE,
        sets: Vec::new(),
        maps: Vec::new(),
        chains: vec![
            // NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT.
            Chain { name: "receive", hook: hook(0), rules: receive },
            Chain { name: "send", hook: hook(3), rules: send },
        ],
    }
}

/// Gives a packet of a family that passes the inner end this class of service.
fn set_class(link: Expression, family: Family, class: u8) -> Vec<Expression> {
    // RFC 791: version, header length, class. RFC 8200: version, class, the flow label's first bits. What is not the class, and
    // of it the two bits of congestion, stays.
    let (keep, flip) = match family {
        Family::V4 => ([0xff, 0x03], [0, class]),
        Family::V6 => ([0xf0, 0x3f], [class >> 4, class << 4]),
    };
    vec![
        link,
        Expression::Compare(Cmp::Equal, name(INNER_LINK)),
        Expression::AddressFamily,
        Expression::Compare(Cmp::Equal, vec![family.number()]),
        Expression::NetworkHeader { offset: 0, length: 2 },
        Expression::Change { keep: keep.into(), flip: flip.into() },
        Expression::WriteHeader { length: 2, checksum: family == Family::V4 },
    ]
}

/// A whole link name, as nf_tables compares it (`IFNAMSIZ`).
fn name(link: &str) -> Vec<u8> {
    let mut bytes = link.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
