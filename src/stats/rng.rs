//! The random numbers of resampling: a stream that follows from the numbers that are resampled, so
//! that the same data have the same interval wherever they are shown. Hides the generator.

/// A stream of random numbers that depends on its name, or its numbers, alone.
#[derive(Clone, Debug)]
pub struct ResampleRng(u64);

impl ResampleRng {
    /// The stream of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::from_hash(name.bytes())
    }

    /// The stream of these numbers.
    #[must_use]
    pub fn from_values(values: &[f64]) -> Self {
        Self::from_hash(
            values
                .iter()
                .flat_map(|value| value.to_bits().to_le_bytes()),
        )
    }

    /// FNV-1a; the generator mixes it further.
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

    /// A coin.
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
    fn a_name_gives_its_stream_and_another_name_another() {
        assert_eq!(
            ResampleRng::from_name("a").next_u64(),
            ResampleRng::from_name("a").next_u64()
        );
        assert_ne!(
            ResampleRng::from_name("a").next_u64(),
            ResampleRng::from_name("b").next_u64()
        );
    }

    #[test]
    fn numbers_below_a_limit_are_even() {
        let mut stream = ResampleRng::from_name("even");
        let mut counts = [0_u32; 7];
        (0..70_000).for_each(|_| counts[stream.below(7)] += 1);
        assert!(
            counts.iter().all(|&count| (9_600..10_400).contains(&count)),
            "{counts:?}"
        );
    }
}
