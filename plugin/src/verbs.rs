//! The verbs, one file each, behind the protocol's own interface.

mod add;
mod check;
mod del;
mod gc;
mod status;

use std::collections::BTreeSet;
use std::path::Path;

use cni::{AddResult, Attachment, Error, Plugin, Request};

/// The plugin, as [`cni::serve`] calls it.
pub(crate) struct Podlan;

impl Plugin for Podlan {
    fn name(&self) -> &str {
        "podlan"
    }

    fn add(
        &self,
        request: &Request,
        attachment: &Attachment,
        netns: &Path,
        print: &mut dyn FnMut(&AddResult) -> Result<(), Error>,
    ) -> Result<(), Error> {
        add::add(request, attachment, netns, print)
    }

    fn del(&self, request: &Request, attachment: &Attachment, netns: Option<&Path>) -> Result<(), Error> {
        del::del(request, attachment, netns)
    }

    fn check(&self, request: &Request, attachment: &Attachment, netns: &Path) -> Result<(), Error> {
        check::check(request, attachment, netns)
    }

    fn gc(&self, request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), Error> {
        gc::gc(request, valid)
    }

    fn status(&self, request: &Request) -> Result<(), Error> {
        status::status(request)
    }
}
