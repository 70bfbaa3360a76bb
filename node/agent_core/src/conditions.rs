//! What is wrong, as the state has it: since when, and one line of the log for each that appears or clears.

use conditions::{Condition, Kind, OTHERS, Severity};

/// Before this time the clock has not been set: the start of 2020, in seconds since 1970.
const SET: u64 = 1_577_836_800;

/// Replaces what was wrong by what is; what lasts keeps its time. Of a kind of which only a sample is listed, that another sample
/// is listed is no news.
pub(super) fn follow(published: &mut Vec<Condition>, found: &[Condition], unix: u64) {
    let since = if unix < SET { 0 } else { unix };
    let before = std::mem::take(published);
    let is_sampled = |kind: Kind| {
        let has_others = |all: &[Condition]| all.iter().any(|one| one.kind == kind && one.subject == OTHERS);
        has_others(&before) && has_others(found)
    };
    for condition in found {
        let earlier = before.iter().find(|earlier| earlier.is_same(condition));
        if earlier.is_none() && !is_sampled(condition.kind) && !published.iter().any(|other| other.is_same(condition)) {
            appeared(condition);
        }
        let since = earlier.map_or(since, |earlier| earlier.since);
        published.push(Condition { since, ..condition.clone() });
    }
    for (index, gone) in before.iter().enumerate() {
        let is_first = !before[..index].iter().any(|other| other.is_same(gone));
        if is_first && !is_sampled(gone.kind) && !found.iter().any(|condition| condition.is_same(gone)) {
            tracing::info!(kind = gone.kind.name(), subject = gone.subject, wrong = gone.wrong, "condition cleared");
        }
    }
}

fn appeared(condition: &Condition) {
    let Condition { kind, subject, wrong, cure, .. } = condition;
    let kind = kind.name();
    match condition.severity {
        Severity::Critical => tracing::error!(kind, subject, wrong, cure, "condition"),
        Severity::Warning => tracing::warn!(kind, subject, wrong, cure, "condition"),
        Severity::Info => tracing::info!(kind, subject, wrong, cure, "condition"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use conditions::Kind;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn off(wrong: &str) -> Condition {
        Condition::new(Kind::ForwardingOff, "IPv4", wrong)
    }

    fn logged(run: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, run);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn of_too_many_the_sample_changes_without_a_line() {
        let silent = |subject: &str| Condition::new(Kind::NextHopSilent, subject, "it is silent");
        let mut published = Vec::new();
        let begins = logged(|| follow(&mut published, &[silent("node1"), silent(OTHERS)], SET));
        assert_eq!(begins.len(), 2, "{begins:?}");
        let changes = logged(|| follow(&mut published, &[silent("node2"), silent(OTHERS)], SET));
        assert!(changes.is_empty() && published[0].subject == "node2", "{changes:?}");
        let ends = logged(|| follow(&mut published, &[silent("node2")], SET));
        assert!(ends.len() == 1 && ends[0].contains("cleared") && ends[0].contains(OTHERS), "{ends:?}");
    }

    #[test]
    fn what_lasts_keeps_its_time_and_each_appearance_and_clearing_is_logged_once() {
        let mut published = Vec::new();
        let logged = logged(|| {
            follow(&mut published, &[off("one link")], SET + 10);
            follow(&mut published, &[off("two links")], SET + 20);
            assert_eq!((published[0].since, published[0].wrong.as_str()), (SET + 10, "two links"));
            follow(&mut published, &[], SET + 30);
            assert_eq!(published, []);
            follow(&mut published, &[], SET + 40);
        });
        let [appeared, cleared] = &logged[..] else { panic!("{logged:?}") };
        for word in ["ERROR", "forwarding-off", "IPv4", "one link", "doctor --fix"] {
            assert!(appeared.contains(word), "{word}: {appeared}");
        }
        assert!(cleared.contains("condition cleared") && cleared.contains("forwarding-off"), "{cleared}");
    }

    #[test]
    fn a_clock_that_is_not_set_gives_no_time() {
        let mut published = Vec::new();
        follow(&mut published, &[off("off")], 4711);
        assert_eq!(published[0].since, 0);
    }
}
