//! STATUS: whether an ADD would succeed now, as far as that is known (spec 1.1.0, section 2, "STATUS").

use cni::{Error, Request};

use crate::addressing::Addressing;
use crate::agent;
use crate::settings::Settings;

/// Error 50 when no pod could be attached. Takes no lock and changes nothing.
pub(crate) fn status(request: &Request) -> Result<(), Error> {
    let settings = Settings::from_request(request)?;
    if let Some(agent) = &settings.agent {
        agent::require_ready(agent)?;
    }
    Addressing::of(request)?.status()
}
