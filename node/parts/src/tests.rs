use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::sleep;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Tends the parts, on a clock that runs ahead, until `fact` holds.
fn tend_until(parts: &mut Parts, fact: impl Fn(&Parts, Instant) -> bool) {
    let until = Instant::now() + DEADLINE;
    let mut ahead = Duration::ZERO;
    while !fact(parts, Instant::now() + ahead) {
        assert!(Instant::now() < until, "{:?}", parts.troubles(Instant::now() + ahead));
        ahead += Duration::from_millis(50);
        parts.tend(Instant::now() + ahead);
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_part_that_panics_or_ends_is_named_started_again_and_forgiven_once_it_is_well() {
    let (mut parts, starts) = (Parts::default(), Arc::new(AtomicU32::new(0)));
    let counted = starts.clone();
    parts.start("odd", move |_| {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match start {
                0 => panic!("a part of {}", "glass"),
                1 => "the wind turned".to_owned(),
                _ => std::future::pending().await,
            }
        }
    });
    let says =
        |words: &'static str| move |parts: &Parts, now| parts.troubles(now).iter().any(|said| said.contains(words));
    tend_until(&mut parts, says("\"odd\" panicked: a part of glass"));
    tend_until(&mut parts, says("\"odd\" ended: the wind turned"));
    tend_until(&mut parts, |parts, now| parts.troubles(now).is_empty());
    assert_eq!(starts.load(Ordering::SeqCst), 3);
}

#[test]
fn a_part_that_ends_at_once_for_ever_is_started_at_ever_longer_intervals() {
    let (mut parts, starts) = (Parts::default(), Arc::new(AtomicU32::new(0)));
    let counted = starts.clone();
    parts.start("brief", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "nothing to do".to_owned() }
    });
    let begun = Instant::now();
    // A minute, in steps in each of which a thread has time to end.
    for step in 0..600 {
        sleep(Duration::from_micros(200));
        parts.tend(begun + Duration::from_millis(100) * step);
    }
    let starts = starts.load(Ordering::SeqCst);
    assert!((5..30).contains(&starts), "{starts} starts in a minute");
}

#[test]
fn a_part_that_hangs_is_named_with_what_it_is_at_and_does_not_keep_the_agent() {
    let mut parts = Parts::default();
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    parts.start("stuck", move |activity| {
        let _begun = activity.begin("read a disk that hangs");
        let _ = held.lock().map(|held| held.recv());
        async { "released".to_owned() }
    });
    tend_until(&mut parts, |parts, now| {
        parts
            .troubles(now)
            .iter()
            .any(|said| said.contains("\"stuck\" has been stuck") && said.contains("a disk that hangs"))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(parts.stop());
    assert!(begun.elapsed() < DEADLINE);
    drop(release);
}
