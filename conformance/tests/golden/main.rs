//! What users, runtimes and other versions of podlan depend on, recorded byte for byte: the goldens beside this file, in
//! `recorded/`. A move of code changes none of them. To record them again after an intended change, and see it as a diff:
//!
//! ```text
//! PODLAN_GOLDEN=record cargo test -p podlan-conformance --test golden && git diff conformance/tests/golden/recorded
//! ```
//!
//! `error_texts.txt` alone may change with the wording; each changed text is listed in `docs/texts-changed.md`. The bytes
//! of the lease store have goldens of their own, in `ipam/tests/golden/`.

mod agent;
mod errors;
mod exit_codes;
mod flags;
mod netlink_messages;
mod recorded;
mod results;
mod shape;
