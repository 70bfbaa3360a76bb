//! A lasting fault.

use super::rig::Rig;

/// Ends the fault.
pub(crate) type Lift = Box<dyn FnOnce()>;

/// What is broken, how it is broken, and how the agent names it.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Texts that `status` prints at least once; none where no part of the agent is broken.
    pub(crate) named: &'static [&'static str],
    /// Whether the leases of another network can be served during the fault.
    pub(crate) serves_others: bool,
    /// More arguments of the agent.
    pub(crate) arguments: &'static [&'static str],
    /// Runs before the agent starts.
    pub(crate) prepare: fn(&Rig<'_>) -> Result<(), String>,
    /// Starts the fault; `SKIP …` where the machine does not allow it.
    pub(crate) begin: fn(&Rig<'_>) -> Result<Lift, String>,
}
