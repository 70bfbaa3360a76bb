//! podlan-ipam: the CNI IPAM plugin over podlan's lease store. Answers host-local's config below any main plugin.
//! It decodes, calls the library and prints. It never enters the network namespace.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use cni::{AddResult, Attachment, Code, Error, IpConfig, Plugin, Request, Role};
use ipam::{Lease, NoLinks, Place, Proof, Settings, Stamp};

fn main() -> ExitCode {
    ipam::process::run(&Ipam)
}

struct Ipam;

impl Plugin for Ipam {
    fn name(&self) -> &'static str {
        "podlan-ipam"
    }

    fn role(&self) -> Role {
        Role::Ipam
    }

    fn add(
        &self,
        request: &Request,
        attachment: &Attachment,
        netns: &Path,
        print: &mut dyn FnMut(&AddResult) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let settings = Settings::from_request(request)?;
        let pod = request.args.pod.as_ref().map(ToString::to_string);
        let netns_id = ipam::netns_identity(netns);
        let proof = Proof { netns: netns.to_path_buf(), netns_id, pod, ..Proof::default() };
        let leases = ipam::lease(&settings.place, &settings.want, attachment, &proof, &NoLinks)?;
        let ips = leases.iter().map(address).collect();
        let result = AddResult { ips, routes: settings.routes, dns: settings.dns, ..AddResult::default() };
        print(&result).inspect_err(|_| {
            // A result that could not be printed is no lease. Should this fail as well, the runtime's DEL does it.
            let _ = ipam::give_back(&settings.place, &leases);
        })
    }

    fn del(&self, request: &Request, attachment: &Attachment, _netns: Option<&Path>) -> Result<(), Error> {
        ipam::release(&Place::from_request(request)?, attachment)?;
        Ok(())
    }

    fn check(&self, request: &Request, attachment: &Attachment, _netns: &Path) -> Result<(), Error> {
        if ipam::leases_of(&Place::from_request(request)?, attachment)?.is_empty() {
            let text = format!("failed to find address added by container {}", attachment.container_id);
            return Err(Error::new(Code::Drift, text));
        }
        Ok(())
    }

    fn gc(&self, request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), Error> {
        ipam::retain(&Place::from_request(request)?, valid, Stamp::now()?, &mut ())?;
        Ok(())
    }

    fn status(&self, request: &Request) -> Result<(), Error> {
        let settings = Settings::from_request(request)?;
        ipam::status(&settings.place, &settings.want, &NoLinks)?;
        Ok(())
    }
}

fn address(lease: &Lease) -> IpConfig {
    IpConfig { address: lease.address, gateway: lease.gateway, interface: None }
}
