//! Random choices that a seed determines.

use std::ops::Range;

/// The SplitMix64 generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, which must not be empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        // The bias of the remainder does not matter for ranges of a slot's size.
        range.start + (self.next() % range.len() as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.within(0..last + 1));
        }
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_all_choices() {
        let choices = |seed| {
            let mut random = Random::new(seed);
            let mut items: Vec<_> = (0..20).collect();
            random.shuffle(&mut items);
            (items, random.within(0..1_000_000), random.bytes())
        };
        assert_eq!(choices(1), choices(1));
        let (one, other) = (choices(1), choices(2));
        assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2);
    }

    #[test]
    fn choices_stay_in_their_range_and_reach_its_ends() {
        let mut random = Random::new(7);
        let chosen: Vec<_> = (0..1_000).map(|_| random.within(3..6)).collect();
        assert!((3..6).all(|number| chosen.contains(&number)));
        assert!(chosen.iter().all(|number| (3..6).contains(number)));
    }
}
