//! STATUS: whether an ADD would succeed now, as far as that is known (spec 1.1.0, section 2, "STATUS").

use cni::{Error, Request};

use crate::addressing::Addressing;
use crate::settings::Settings;

/// Error 50 when no pod could be attached. Takes no lock and changes nothing.
pub(crate) fn status(request: &Request) -> Result<(), Error> {
    Settings::from_request(request)?;
    Addressing::of(request)?.status()
}
