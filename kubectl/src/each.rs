//! Bounded parallelism: one thing is done for each item, so many at once, and the results have the order of the items.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does it for each item, `at_once` at most at the same time. On a terminal a line counts those that are done.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], at_once: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let progress = io::stderr().is_terminal() && items.len() > at_once;
    let worker = || {
        while let Some((place, item)) = take(&next, items) {
            let result = work(item);
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            done.push((place, result));
            if progress {
                // A progress line that cannot be written is not missed.
                let _ = write!(io::stderr(), "\rasked {} of {}", done.len(), items.len());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, items.len().max(1)) {
            scope.spawn(worker);
        }
    });
    if progress {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn take<'t, T>(next: &AtomicUsize, items: &'t [T]) -> Option<(usize, &'t T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    items.get(place).map(|item| (place, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_items_and_no_more_than_the_bound_run_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..200).collect();
        let results = each(&items, 7, |item| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            item * 2
        });
        assert_eq!(results, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(most.into_inner() <= 7);
        assert_eq!(each(&[] as &[u8], 0, |_| 1), Vec::<i32>::new());
    }
}
