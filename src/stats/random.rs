//! The random numbers of resampling: a stream that follows from the numbers that are resampled, so
//! that the same data have the same interval wherever they are shown. Hides the generator.

/// A stream of random numbers that depends on its name, or its numbers, alone.
#[derive(Clone, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::hashed(name.bytes())
    }

    /// The stream of these numbers.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        Self::hashed(
            values
                .iter()
                .flat_map(|value| value.to_bits().to_le_bytes()),
        )
    }

    /// FNV-1a; the generator mixes it further.
    fn hashed(bytes: impl Iterator<Item = u8>) -> Self {
        Self(bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The next 64 bits (`SplitMix64`; Steele, Lea and Flood 2014).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `limit`, each equally likely up to a bias of `limit` / 2⁶⁴.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.bits()) * limit as u128) >> 64) as usize
    }

    /// A coin.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }

    /// A number uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_stream_and_another_name_another() {
        assert_eq!(Stream::named("a").bits(), Stream::named("a").bits());
        assert_ne!(Stream::named("a").bits(), Stream::named("b").bits());
    }

    #[test]
    fn numbers_below_a_limit_are_even() {
        let mut stream = Stream::named("even");
        let mut counts = [0_u32; 7];
        (0..70_000).for_each(|_| counts[stream.below(7)] += 1);
        assert!(
            counts.iter().all(|&count| (9_600..10_400).contains(&count)),
            "{counts:?}"
        );
    }
}
