//! Random numbers for resampling, seeded by the data, so equal data always get equal intervals.

/// A random generator that depends only on its seed, a name or numbers.
#[derive(Clone, Debug)]
pub struct ResampleRng(u64);

impl ResampleRng {
    /// Seeds the generator with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::from_hash(name.bytes())
    }

    /// Seeds the generator with numbers.
    #[must_use]
    pub fn from_values(values: &[f64]) -> Self {
        Self::from_hash(
            values
                .iter()
                .flat_map(|value| value.to_bits().to_le_bytes()),
        )
    }

    /// FNV-1a suffices, since the generator mixes it further.
    fn from_hash(bytes: impl Iterator<Item = u8>) -> Self {
        Self(bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The next 64 bits (`SplitMix64`; Steele, Lea and Flood 2014).
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `limit`, each equally likely up to a bias of `limit` / 2⁶⁴.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next_u64()) * limit as u128) >> 64) as usize
    }

    /// True or false with equal chance.
    pub fn coin_flip(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// A number uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_name() {
        let first = |name| ResampleRng::from_name(name).next_u64();
        assert_eq!(first("a"), first("a"));
        assert_ne!(first("a"), first("b"));
    }

    #[test]
    fn numbers_below_a_limit_are_even() {
        let mut rng = ResampleRng::from_name("even");
        let mut counts = [0_u32; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(
            counts.iter().all(|&count| (9_600..10_400).contains(&count)),
            "{counts:?}"
        );
    }
}
