//! The registry: every kind of condition with its name, its severity, why it matters and what an operator does about it.
//! `docs/conditions.md` and the alerts are generated from it.

use serde::{Deserialize, Serialize};

/// How bad a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is lost yet.
    Info,
    /// Something will fail, or fails for some.
    Warning,
    /// Pods are cut off, forged or cannot start.
    Critical,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $severity:ident $why:literal $cure:literal;)*) => {
        /// A kind of condition. Its name is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = $why] #[serde(rename = $name)] $kind,)*
            /// A kind of a newer release.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Kind {
            /// All kinds of this release.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name in metrics, JSON and docs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* Self::Unknown => "unknown" }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)* Self::Unknown => Severity::Warning }
            }

            /// Why it matters, in one sentence.
            pub fn why(self) -> &'static str {
                match self { $(Self::$kind => $why,)* Self::Unknown => "a newer release of podlan reported it" }
            }

            /// What an operator does about it, where a condition says nothing more exact.
            pub fn cure(self) -> &'static str {
                match self { $(Self::$kind => $cure,)* Self::Unknown => "podlan-node doctor of that release explains it" }
            }
        }
    };
}

kinds! {
    AgentGone "agent-gone" Critical
        "routes are no longer maintained: new nodes are unreachable, and a removed route is not restored"
        "start podlan-node run again, and read the end of its log";
    AgentNotReady "agent-not-ready" Critical
        "the runtime starts no pods on this node (STATUS 50)"
        "fix what the reason names; podlan-node status shows when the agent is ready";
}
