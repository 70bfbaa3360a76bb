//! What each part reported last.

use super::event::{Found, PartReport, Written};
use filter::Filtered;
use install::housekeeping::FilesState;
use pods::forwarding::keep::Forwarding;
use pods::leases::LeaseCounts;
use probes::Probed;

#[derive(Default)]
pub(super) struct PartReports {
    pub(super) filtered: Filtered,
    pub(super) forwarding: Forwarding,
    pub(super) lease_counts: LeaseCounts,
    /// None before the first look.
    pub(super) files: Option<FilesState>,
    pub(super) former_mtus: Vec<String>,
    pub(super) probed: Probed,
    pub(super) written: Written,
    pub(super) found: Found,
    /// Parts that ended, panicked or are stuck.
    pub(super) troubles: Vec<String>,
}

impl PartReports {
    pub(super) fn take(&mut self, report: PartReport) {
        match report {
            PartReport::Filter(filtered) => self.filtered = filtered,
            PartReport::Forwarding(forwarding) => self.forwarding = forwarding,
            PartReport::Leases(lease_counts) => self.lease_counts = lease_counts,
            PartReport::Files(files) => self.files = files,
            PartReport::FormerMtus(former_mtus) => self.former_mtus = former_mtus,
            PartReport::Probed(probed) => self.probed = probed,
            PartReport::Written(written) => self.written = written,
            PartReport::Conditions(found) => self.found = found,
        }
    }
}
