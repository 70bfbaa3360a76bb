//! A hop as it is told.

use std::net::IpAddr;

use serde::Serialize;

use crate::doctor::finding::Problem;

/// One place on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// `pod`, `host-link`, `node`, `uplink` or `peer`.
    pub place: &'static str,
    /// How it stands.
    pub state: State,
    /// What the kernel says of it.
    pub text: String,
    /// The link's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The link's, or the route's, MTU in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_hop: Option<IpAddr>,
    /// The entry of the routing table that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What is wrong there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// How a hop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The packet passes.
    Ok,
    /// Something is wrong.
    Wrong,
    /// What is wrong with another hop keeps packets from it, or from being judged here.
    Cut,
    /// It is another node's to say.
    Elsewhere,
    /// It could not be looked at.
    Unknown,
}

impl Hop {
    /// All is well there, as far as is known yet.
    pub fn at(place: &'static str, text: impl Into<String>) -> Self {
        Self {
            place,
            state: State::Ok,
            text: text.into(),
            interface: None,
            mtu: None,
            next_hop: None,
            route: None,
            problems: Vec::new(),
        }
    }

    pub(crate) fn but(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Adds what is wrong there.
    pub fn with(mut self, problems: impl IntoIterator<Item = Problem>) -> Self {
        self.problems.extend(problems);
        if !self.problems.is_empty() {
            self.state = State::Wrong;
        }
        self
    }
}
