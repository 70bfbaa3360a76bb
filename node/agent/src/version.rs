//! Which build this is: its version, and the commit of its sources.

use std::sync::LazyLock;

/// The commit of the sources, as the scripts that build a release give it: a build is reproducible without git.
pub(crate) const COMMIT: &str = match option_env!("PODLAN_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};

/// `0.1.0 (commit 0123456789ab)`.
pub(crate) fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{} (commit {COMMIT})", env!("CARGO_PKG_VERSION")));
    TEXT.as_str()
}
