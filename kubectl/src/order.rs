//! The order of names for people: numbers inside names by their value, so that node10 follows node9. Pure.

use std::cmp::Ordering;

/// Compares two names. Names that differ are never equal.
pub(crate) fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    while !left.is_empty() && !right.is_empty() {
        let ((a, a_rest), (b, b_rest)) = (piece(left), piece(right));
        let order = match (a.starts_with(is_digit), b.starts_with(is_digit)) {
            (true, true) => number(a).cmp(&number(b)),
            _ => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (a_rest, b_rest);
    }
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// A number of any length: by its digits' count, then by the digits.
fn number(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

/// The digits at the start of a text, or what is before the first digit; and the rest.
fn piece(text: &str) -> (&str, &str) {
    let digits = text.starts_with(is_digit);
    text.split_at(text.find(|c: char| is_digit(c) != digits).unwrap_or(text.len()))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = ["b1", "node10", "node9", "node09", "node", "a", "node9-b", "node18446744073709551616", "ä"];
        names.sort_by(|one, other| natural(one, other));
        let sorted = ["a", "b1", "node", "node09", "node9", "node9-b", "node10", "node18446744073709551616", "ä"];
        assert_eq!(names, sorted);
    }

    #[test]
    fn names_that_differ_are_never_equal() {
        assert_ne!(natural("a01", "a1"), Ordering::Equal);
        assert_eq!(natural("a01", "a1").reverse(), natural("a1", "a01"));
    }
}
