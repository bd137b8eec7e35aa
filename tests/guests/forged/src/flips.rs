//! Mutated binaries: the same good component with a few bytes changed, from a seed.

/// As many variants of `bytes` as asked for, each with one to four bytes changed; the same for
/// the same seed.
pub fn flipped(bytes: &[u8], seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut random = SplitMix(seed);
    (0..count).map(move |_| {
        let mut variant = bytes.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(variant.len());
            variant[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        }
        variant
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to choose bytes, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}
