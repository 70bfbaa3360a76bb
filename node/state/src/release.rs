//! Which build this is: its version, and the commit of its sources with its date.

use std::sync::LazyLock;

/// The commit of the sources, as the scripts that build a release give it: a build is reproducible without git.
pub const COMMIT: &str = match option_env!("PODLAN_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};

/// The date of that commit in UTC, `2026-11-29`; where the scripts do not know it, nothing.
const DATE: Option<&str> = option_env!("PODLAN_COMMIT_DATE");

/// `0.1.0 (commit 0123456789ab, 2026-11-29)`.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| text(COMMIT, DATE));
    TEXT.as_str()
}

fn text(commit: &str, date: Option<&str>) -> String {
    let date = date.filter(|date| !date.is_empty()).map(|date| format!(", {date}")).unwrap_or_default();
    format!("{} (commit {commit}{date})", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_has_the_commit_and_its_date_where_it_is_known() {
        let version = env!("CARGO_PKG_VERSION");
        let dated = text("0123456789ab", Some("2026-11-29"));
        assert_eq!(dated, format!("{version} (commit 0123456789ab, 2026-11-29)"));
        for unknown in [None, Some("")] {
            assert_eq!(text("unknown", unknown), format!("{version} (commit unknown)"));
        }
    }
}
