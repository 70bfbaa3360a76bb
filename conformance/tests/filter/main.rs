//! The agent's packet filter tables and the forwarding settings: the source rule, masquerade, rules of other programs.

mod egress_sets;
mod forward;
mod forwarding;
mod masquerade;
mod source_rule;
