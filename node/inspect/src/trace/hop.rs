//! A hop of a packet's path, as it is reported.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use conditions::Condition;

/// One place on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// `pod`, `host-link`, `node`, `uplink` or `peer`.
    pub place: Cow<'static, str>,
    /// The state.
    pub state: State,
    /// What the kernel does there.
    pub text: String,
    /// The link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The link's, or the route's, MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// The next hop.
    pub next_hop: Option<IpAddr>,
    /// The entry of the routing table that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What is wrong there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Condition>,
}

/// How a hop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The packet passes.
    Ok,
    /// Something is wrong.
    Wrong,
    /// It cannot be judged, because of what is wrong at another hop.
    Cut,
    /// It is on another node.
    Elsewhere,
    /// It could not be observed.
    #[serde(other)]
    Unknown,
}

impl Hop {
    /// A hop without problems.
    pub fn at(place: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
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
    pub fn with(mut self, problems: impl IntoIterator<Item = Condition>) -> Self {
        self.problems.extend(problems);
        if !self.problems.is_empty() {
            self.state = State::Wrong;
        }
        self
    }
}
