//! Changes of known inputs: a bit, a number, a part removed, repeated or taken from another input. Deterministic: the
//! same seed makes the same inputs on every machine.

/// Longer inputs are cut.
const LONGEST: usize = 64 * 1024;

/// Numbers at the edges of what fields can hold.
const NUMBERS: [&str; 12] =
    ["0", "-1", "1", "127", "128", "255", "256", "65536", "4294967295", "4294967296", "18446744073709551616", "1e999"];

/// Bytes with a meaning in one format or another.
const BYTES: &[u8] = b"\0\n\r \t\"'\\{}[]:,/.-_=&*%#!|>~\x7f\x80\xff";

/// Makes new inputs from known ones.
pub(crate) struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    state: u64,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(seeds: &'a [Vec<u8>], state: u64) -> Self {
        Self { seeds, state }
    }

    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn seed(&mut self) -> &'a [u8] {
        let seeds = self.seeds;
        &seeds[self.below(seeds.len())]
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.seed().to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let upto = (at + 1 + self.below(16)).min(bytes.len());
        match self.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = BYTES[self.below(BYTES.len())],
            2 if !bytes.is_empty() => drop(bytes.drain(at..upto)),
            3 => bytes.insert(at, BYTES[self.below(BYTES.len())]),
            4 => {
                let piece = bytes.get(at..upto).unwrap_or_default().repeat(1 + self.below(64));
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = self.seed();
                let from = self.below(other.len());
                let piece = &other[from..(from + 1 + self.below(64)).min(other.len())];
                bytes.splice(at..upto.max(at).min(bytes.len()), piece.iter().copied());
            }
            6 => self.number(bytes, at),
            7 => bytes.truncate(at),
            _ => {
                let depth = 1 + self.below(300);
                bytes.splice(at..at, std::iter::repeat_n(b"[{"[self.below(2)], depth));
            }
        }
    }

    /// Replaces the first number from `at` on.
    fn number(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let Some(first) = bytes[at..].iter().position(u8::is_ascii_digit) else { return };
        let first = at + first;
        let digits = bytes[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        bytes.splice(first..first + digits, NUMBERS[self.below(NUMBERS.len())].bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_they_differ_from_each_other() {
        let seeds = [b"{\"mtu\":1500}".to_vec(), Vec::new()];
        let inputs = |state| {
            let mut mutator = Mutator::new(&seeds, state);
            (0..500).map(|_| mutator.next()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        let different: std::collections::BTreeSet<_> = inputs(1).into_iter().collect();
        assert!(different.len() > 300, "{}", different.len());
    }
}
