//! Which requests are needed and not sent yet, and which of them comes first.

use super::interface::Request;
use super::{Egress, Forwarded};

/// One flag for each request: asking twice for the same thing is asking once.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) listen: bool,
    pub(super) masquerade: bool,
    pub(super) source: bool,
    pub(super) ports: bool,
    pub(super) look: bool,
    pub(super) count: bool,
}

impl Needs {
    /// The most urgent request, with what is wanted now; it is needed no longer. Events come first, so that no change of
    /// the tables is missed; then the rules that protect other pods; then the sets, because routes wait for them;
    /// then host ports.
    pub(super) fn next(&mut self, egress: &Egress, accepts: bool, forwarded: Option<&Forwarded>) -> Option<Request> {
        let Self { listen, masquerade, source, ports, look, count } = self;
        if std::mem::take(listen) {
            Some(Request::Listen)
        } else if std::mem::take(source) {
            Some(Request::Source)
        } else if std::mem::take(masquerade) {
            Some(Request::Masquerade(egress.clone()))
        } else if std::mem::take(ports) {
            Some(Request::Ports)
        } else if let Some(forwarded) = forwarded.filter(|_| std::mem::take(look)) {
            Some(Request::Look { accepts, forwarded: forwarded.clone() })
        } else {
            std::mem::take(count).then_some(Request::Count)
        }
    }
}
