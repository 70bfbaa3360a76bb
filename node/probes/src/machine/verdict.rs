//! The verdict on one path, and the judgement that leads to it. Pure.

use std::fmt;
use std::net::IpAddr;

use crate::wire::{Opinion, Standing};

/// The verdict on the path to one peer, of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not judged yet.
    #[default]
    Unknown,
    /// Packets pass both ways, at full size and with their own address.
    Open,
    /// This node's packets do not arrive.
    LostThere,
    /// They arrive, and the answers do not come back.
    LostBack,
    /// No answer comes; in which direction packets are lost is unknown.
    Lost,
    /// They arrive with another source address.
    Translated(Option<IpAddr>),
    /// Small packets pass, full-size ones are lost in silence.
    TooBig,
    /// Neither the peer's probe address nor its node address answers.
    PeerDead,
    /// A packet filter rejects the probes' port, and says so.
    PortFiltered,
    /// The peer's kernel answers that nobody probes there: the path is good.
    NoAgent,
    /// Nothing can be said.
    NotProbed(Why),
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// This node stands so.
    Own(Standing),
    /// The peer stands so.
    Peer(Standing),
    /// The packet filters of both nodes drop probes that come in.
    BothClosed,
    /// The peer answers at its node address that nobody probes there.
    NoAgentThere,
    /// Nothing was ever heard of the peer.
    NeverHeard,
}

impl Verdict {
    /// The words, in the order in which they are shown: the worst first.
    pub const WORDS: [&'static str; 11] = [
        "lost-there",
        "lost-back",
        "lost",
        "translated",
        "too-big",
        "peer-dead",
        "port-closed-by-peer-firewall",
        "not-probed",
        "no-agent",
        "unknown",
        "open",
    ];

    /// One word, as metrics and status count it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
            Self::LostThere => "lost-there",
            Self::LostBack => "lost-back",
            Self::Lost => "lost",
            Self::Translated(_) => "translated",
            Self::TooBig => "too-big",
            Self::PeerDead => "peer-dead",
            Self::PortFiltered => "port-closed-by-peer-firewall",
            Self::NoAgent => "no-agent",
            Self::NotProbed(_) => "not-probed",
        }
    }

    /// The place of its word in [`Verdict::WORDS`].
    pub(super) fn rank(self) -> usize {
        Self::WORDS.iter().position(|word| *word == self.word()).unwrap_or_default()
    }

    /// Whether packets of pods do not pass as they should, as far as is known.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::LostThere | Self::LostBack | Self::Lost | Self::Translated(_) | Self::TooBig | Self::PeerDead
        )
    }

    /// As this node says it to the peer.
    pub(super) fn opinion(self) -> Opinion {
        match self {
            Self::Open => Opinion::Open,
            Self::TooBig => Opinion::TooBig,
            Self::Translated(_) => Opinion::Translated,
            Self::LostThere | Self::LostBack | Self::Lost => Opinion::Lost,
            _ => Opinion::None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "not judged yet",
            Self::Open => "packets pass both ways",
            Self::LostThere => "packets do not arrive there, while the node itself answers",
            Self::LostBack => "packets arrive there, and the answers do not come back",
            Self::Lost => "no answer comes back; the direction is unknown",
            Self::Translated(Some(seen)) => return write!(f, "packets arrive with the source address {seen}"),
            Self::Translated(None) => "packets arrive with another source address",
            Self::TooBig => "small packets pass, and full-size ones are lost in silence",
            Self::PeerDead => "neither its pods' addresses nor the node itself answers",
            Self::PortFiltered => "a packet filter rejects the probes' port",
            Self::NoAgent => "the path is good, and no agent probes there",
            Self::NotProbed(why) => return why.fmt(f),
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(standing) => write!(f, "this node {}", standing.text()),
            Self::Peer(standing) => write!(f, "the peer {}", standing.text()),
            Self::BothClosed => f.write_str("the packet filters of both nodes drop probes that come in"),
            Self::NoAgentThere => {
                f.write_str("no agent probes there: it is stopped, of an older release, or runs with --probe off")
            }
            Self::NeverHeard => f.write_str(
                "nothing was heard of the peer yet: it has no agent of this release, or its packet filter drops probes",
            ),
        }
    }
}

impl Standing {
    fn text(self) -> &'static str {
        match self {
            Self::Open => "probes",
            Self::Closed => "drops probes that come in, by its packet filter",
            Self::Idle => "has no pods and does not forward",
            Self::Held => "has its probe address in use by a pod or a link",
            Self::NoRoom => "has a pod CIDR without an address for probes",
            Self::Failed => "could not make its probe link",
            Self::Obstructed => "has a rule that drops probes and not packets of pods",
        }
    }
}

/// What was answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// An answer came.
    Came(T),
    /// None came in time.
    Silence,
    /// The network, or this node's kernel, refused the request.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens at the port.
    Port,
    /// A packet filter forbids it.
    Prohibited,
    /// No such host, or no route to it.
    Unreachable,
    /// It is too large for a link on the way that takes so many bytes.
    TooBig(u32),
}

/// What is known of a path once its full-size request was lost.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// This node's probe address.
    pub own: IpAddr,
    /// How this node stands.
    pub standing: Standing,
    /// The small request to the peer's probe address; with the source address at which it was seen.
    pub probe: Answer<IpAddr>,
    /// The request to the peer's node address; with the source address at which the lost request was seen, if it was. `None`
    /// where there is no such address.
    pub node: Option<Answer<Option<IpAddr>>>,
    /// How the peer stands, where it said so lately.
    pub peer: Option<(Standing, Opinion)>,
    /// Whether it was ever heard.
    pub was_heard: bool,
    /// Whether it was heard so lately that it may be alive.
    pub is_heard: bool,
}

/// The judgement. A small request that was answered is judged by its size elsewhere.
pub fn judge(evidence: &Evidence) -> Verdict {
    let Evidence { own, standing, probe, node, peer, was_heard, is_heard } = *evidence;
    match probe {
        Answer::Came(seen) if seen != own => return Verdict::Translated(Some(seen)),
        Answer::Came(_) | Answer::Refused(Refusal::TooBig(_)) => return Verdict::TooBig,
        Answer::Refused(_) | Answer::Silence => {}
    }
    match peer {
        Some((Standing::Closed, opinion)) => return of_closed(standing, opinion),
        Some((Standing::Open, _)) | None => {}
        Some((standing, _)) => return Verdict::NotProbed(Why::Peer(standing)),
    }
    match (probe, node) {
        (_, Some(Answer::Came(Some(seen)))) if seen != own => Verdict::Translated(Some(seen)),
        (_, Some(Answer::Came(Some(_)))) => Verdict::LostBack,
        // Its own packet filter lets probes in: who refuses them refuses what is forwarded.
        (_, Some(Answer::Came(None))) => Verdict::LostThere,
        (Answer::Refused(Refusal::Port), Some(Answer::Refused(Refusal::Port))) => Verdict::NoAgent,
        (Answer::Refused(Refusal::Prohibited), _) if standing == Standing::Closed => {
            Verdict::NotProbed(Why::BothClosed)
        }
        (Answer::Refused(Refusal::Port | Refusal::Prohibited), _) => Verdict::PortFiltered,
        (_, Some(Answer::Refused(Refusal::Port))) => Verdict::NotProbed(Why::NoAgentThere),
        (_, Some(Answer::Refused(Refusal::Prohibited))) => Verdict::NotProbed(Why::Peer(Standing::Closed)),
        (_, Some(Answer::Refused(Refusal::Unreachable))) => Verdict::PeerDead,
        (_, Some(Answer::Silence | Answer::Refused(Refusal::TooBig(_))) | None) if is_heard => Verdict::Lost,
        // The peer's may be closed too, and cannot say so.
        (..) if standing == Standing::Closed => Verdict::NotProbed(Why::BothClosed),
        (..) if was_heard => Verdict::PeerDead,
        (..) => Verdict::NotProbed(Why::NeverHeard),
    }
}

/// Requests to a peer whose packet filter drops them say nothing: it judges for the pair.
pub(super) fn of_closed(own: Standing, opinion: Opinion) -> Verdict {
    match opinion {
        Opinion::Open => Verdict::Open,
        Opinion::TooBig => Verdict::TooBig,
        Opinion::Lost => Verdict::Lost,
        Opinion::Translated => Verdict::Translated(None),
        Opinion::None if own == Standing::Closed => Verdict::NotProbed(Why::BothClosed),
        Opinion::None => Verdict::NotProbed(Why::Peer(Standing::Closed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_fault_of_a_path_has_its_verdict() {
        use Answer::{Came, Refused, Silence};
        let own = ip("10.244.1.1");
        let nat = ip("172.31.0.1");
        let lost = Evidence {
            own,
            standing: Standing::Open,
            probe: Silence,
            node: Some(Silence),
            peer: Some((Standing::Open, Opinion::Open)),
            was_heard: true,
            is_heard: false,
        };
        let node = |answer| Evidence { node: Some(answer), is_heard: true, ..lost };
        let probe = |answer| Evidence { probe: answer, ..lost };
        let stranger = Evidence { peer: None, was_heard: false, ..lost };
        let closed = |opinion| Evidence { peer: Some((Standing::Closed, opinion)), ..lost };
        for (evidence, verdict) in [
            (node(Came(None)), Verdict::LostThere),
            (node(Came(Some(own))), Verdict::LostBack),
            (node(Came(Some(nat))), Verdict::Translated(Some(nat))),
            (probe(Came(nat)), Verdict::Translated(Some(nat))),
            (probe(Came(own)), Verdict::TooBig),
            (lost, Verdict::PeerDead),
            (Evidence { is_heard: true, ..lost }, Verdict::Lost),
            (Evidence { node: None, is_heard: true, ..lost }, Verdict::Lost),
            (node(Refused(Refusal::Unreachable)), Verdict::PeerDead),
            (Evidence { probe: Refused(Refusal::Port), ..node(Refused(Refusal::Port)) }, Verdict::NoAgent),
            (Evidence { probe: Refused(Refusal::Port), ..node(Came(None)) }, Verdict::LostThere),
            (Evidence { probe: Refused(Refusal::Prohibited), ..node(Came(None)) }, Verdict::LostThere),
            (Evidence { standing: Standing::Closed, ..lost }, Verdict::NotProbed(Why::BothClosed)),
            (probe(Refused(Refusal::Prohibited)), Verdict::PortFiltered),
            (
                Evidence { standing: Standing::Closed, ..probe(Refused(Refusal::Prohibited)) },
                Verdict::NotProbed(Why::BothClosed),
            ),
            (
                Evidence { peer: Some((Standing::Obstructed, Opinion::None)), ..node(Came(None)) },
                Verdict::NotProbed(Why::Peer(Standing::Obstructed)),
            ),
            (node(Refused(Refusal::Port)), Verdict::NotProbed(Why::NoAgentThere)),
            (stranger, Verdict::NotProbed(Why::NeverHeard)),
            (Evidence { standing: Standing::Closed, ..stranger }, Verdict::NotProbed(Why::BothClosed)),
            (closed(Opinion::Open), Verdict::Open),
            (closed(Opinion::Lost), Verdict::Lost),
            (closed(Opinion::None), Verdict::NotProbed(Why::Peer(Standing::Closed))),
            (
                Evidence { peer: Some((Standing::Held, Opinion::None)), ..lost },
                Verdict::NotProbed(Why::Peer(Standing::Held)),
            ),
        ] {
            assert_eq!(judge(&evidence), verdict, "{evidence:?}");
        }
    }

    #[test]
    fn every_verdict_has_a_word_that_is_counted() {
        for verdict in [
            Verdict::Unknown,
            Verdict::Open,
            Verdict::LostThere,
            Verdict::LostBack,
            Verdict::Lost,
            Verdict::Translated(None),
            Verdict::TooBig,
            Verdict::PeerDead,
            Verdict::PortFiltered,
            Verdict::NoAgent,
            Verdict::NotProbed(Why::NeverHeard),
        ] {
            assert!(Verdict::WORDS.contains(&verdict.word()), "{verdict:?}");
            assert_eq!(state::paths::BAD.contains(&verdict.word()), verdict.is_bad(), "{verdict:?}");
        }
    }
}
