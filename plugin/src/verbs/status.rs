//! STATUS: whether an ADD would succeed now, as far as that is known (spec 1.1.0, section 2, "STATUS").

use cni::{Code, Error, Request};
use netlink::Socket;

use crate::addressing::Addressing;
use crate::agent;
use crate::outcome;
use crate::settings::{self, Settings};

/// Error 50 when no pod could be attached. Waits for no lock and changes nothing.
pub(crate) fn status(request: &Request) -> Result<(), Error> {
    let settings = Settings::from_request(request)?;
    if let Some(agent) = &settings.agent {
        agent::require_ready(agent)?;
    }
    let addressing = Addressing::of(request)?;
    let mut host = Socket::open().map_err(|error| {
        Error::new(Code::NotAvailable, "the kernel cannot be asked for links").with_details(error.to_string())
    })?;
    let Some(assignment) = addressing.status(&mut host)? else { return Ok(()) };
    // The rest of what an ADD refuses a configuration for.
    outcome::pod_routes(&assignment)?;
    match settings.mtu {
        Some(mtu) if assignment.addresses.iter().any(std::net::IpAddr::is_ipv6) => settings::require_v6_mtu(mtu),
        _ => Ok(()),
    }
}
