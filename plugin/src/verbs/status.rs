//! STATUS: whether an ADD would succeed now, as far as that is known (spec 1.1.0, section 2, "STATUS").

use cni::{Code, Error as CniError, Request};
use netlink::{Procfs, Socket};

use crate::addressing::Addressing;
use crate::agent;
use crate::error::Error;
use crate::host;
use crate::outcome;
use crate::settings::Settings;

/// Error 50 when no pod could be attached. Waits for no lock and changes nothing.
pub(crate) fn status(request: &Request) -> Result<(), CniError> {
    let settings = Settings::from_request(request)?;
    if let Some(agent) = &settings.agent {
        agent::require_ready(agent)?;
    }
    let addressing = Addressing::of(request)?;
    let mut host = Socket::open().map_err(|error| {
        CniError::new(Code::NotAvailable, "the kernel cannot be asked for links").with_details(error.to_string())
    })?;
    let Some(assignment) = addressing.status(&mut host)? else { return Ok(()) };
    // The rest of what an ADD refuses a configuration for.
    outcome::pod_routes(&assignment)?;
    let has = |v6: bool| assignment.addresses.iter().any(|ip| ip.is_ipv6() == v6);
    host::pod_mtu(&mut host, &settings, has(true))?;
    let procfs = Procfs::of_machine();
    for v6 in [false, true].into_iter().filter(|v6| has(*v6)) {
        netlink::may_forward(&mut host, &procfs, v6).map_err(Error::from).map_err(|error| {
            CniError::new(Code::NotAvailable, "the node cannot forward what pods send").with_details(error.to_string())
        })?;
    }
    Ok(())
}
