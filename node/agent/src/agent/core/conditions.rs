//! What is wrong, as the state has it: since when, and one line of the log for each that appears or clears.

use conditions::{Condition, Severity};

/// Before this time the clock has not been set: the start of 2020, in seconds since 1970.
const SET: u64 = 1_577_836_800;

/// Replaces what was wrong by what is; what lasts keeps its time.
pub(super) fn follow(published: &mut Vec<Condition>, found: &[Condition], unix: u64) {
    let since = if unix < SET { 0 } else { unix };
    let before = std::mem::take(published);
    for condition in found {
        let earlier = before.iter().find(|earlier| earlier.is_same(condition));
        if earlier.is_none() && !published.iter().any(|other| other.is_same(condition)) {
            appeared(condition);
        }
        let since = earlier.map_or(since, |earlier| earlier.since);
        published.push(Condition { since, ..condition.clone() });
    }
    for (index, gone) in before.iter().enumerate() {
        let is_first = !before[..index].iter().any(|other| other.is_same(gone));
        if is_first && !found.iter().any(|condition| condition.is_same(gone)) {
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

    #[test]
    fn what_lasts_keeps_its_time_and_each_appearance_and_clearing_is_logged_once() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        let mut published = Vec::new();
        tracing::subscriber::with_default(subscriber, || {
            follow(&mut published, &[off("one link")], SET + 10);
            follow(&mut published, &[off("two links")], SET + 20);
            assert_eq!((published[0].since, published[0].wrong.as_str()), (SET + 10, "two links"));
            follow(&mut published, &[], SET + 30);
            assert_eq!(published, []);
            follow(&mut published, &[], SET + 40);
        });
        let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let logged: Vec<&str> = logged.lines().collect();
        let [appeared, cleared] = logged[..] else { panic!("{logged:?}") };
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
