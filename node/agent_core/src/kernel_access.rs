//! Whether the kernel answers requests, and whether its events are received.

#[derive(Default)]
pub(super) struct KernelAccess {
    /// Why the last turn could not ask it.
    trouble: Option<String>,
    /// Why its events are not received.
    events_trouble: Option<String>,
    /// How many of its objects could not be read at the last look.
    pub(super) unreadable: u64,
}

impl KernelAccess {
    /// A turn could ask it.
    pub(super) fn answered(&mut self, unreadable: Option<u64>) {
        self.trouble = None;
        self.unreadable = unreadable.unwrap_or(self.unreadable);
    }

    pub(super) fn failed(&mut self, error: &netlink::Error) {
        let error = format!("the kernel could not be asked: failed to {error}");
        if self.trouble.as_ref() != Some(&error) {
            tracing::warn!(error, "trying again");
        }
        self.trouble = Some(error);
    }

    /// Takes in whether events are received; true where that is new.
    pub(super) fn take_events_trouble(&mut self, trouble: Option<String>) -> bool {
        let is_new = self.events_trouble != trouble;
        self.events_trouble = trouble;
        is_new
    }

    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let events = self.events_trouble.as_ref();
        let events = events.map(|why| format!("route changes in the kernel are not received: failed to {why}"));
        self.trouble.clone().into_iter().chain(events)
    }

    /// What is left out of what the agent knows.
    pub(super) fn left_out(&self) -> Option<String> {
        let odd = self.unreadable;
        (odd > 0).then(|| format!("{odd} links, addresses or routes of the kernel cannot be read and are left out"))
    }
}
