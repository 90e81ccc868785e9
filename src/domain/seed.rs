//! Random numbers that depend on names only: never on order, batch, worker or device.

use serde::{Deserialize, Serialize};

/// The state from which a stream of draws is derived.
///
/// Seeds are derived by name (`run -> stage -> problem -> turn -> sample`), so one attempt can be
/// replayed alone and no attempt's numbers depend on another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed for a named part of this one.
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        // FNV-1a over the name, then mixed, so that close names give unrelated seeds.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mix(self.0 ^ mix(hash)))
    }

    /// The seed for a numbered part of this one.
    #[must_use]
    pub fn derive_indexed(self, index: u64) -> Self {
        Self(mix(self.0.wrapping_add(mix(index ^ 0x9e37_79b9_7f4a_7c15))))
    }

    /// The `index`-th number of this seed's stream, uniform in [0, 1).
    #[must_use]
    pub fn uniform_at(self, index: u64) -> f64 {
        (self.derive_indexed(index).0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// This seed's stream as an iterator-like source.
    #[must_use]
    pub const fn rng(self) -> SeededRng {
        SeededRng {
            seed: self,
            counter: 0,
        }
    }
}

/// A stream of draws from one seed; a counter, so it can be resumed at any place.
#[derive(Clone, Copy, Debug)]
pub struct SeededRng {
    seed: Seed,
    counter: u64,
}

impl SeededRng {
    /// The next number, uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.counter += 1;
        self.seed.uniform_at(self.counter - 1)
    }

    /// The next whole number, uniform in `low..=high`.
    ///
    /// # Panics
    /// If `low > high`.
    pub fn int_between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "empty range {low}..={high}");
        low + (self.uniform() * (high - low + 1) as f64) as i64
    }

    /// One of the items.
    ///
    /// # Panics
    /// If there are none.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.int_between(0, items.len() as i64 - 1) as usize]
    }

    /// A standard normal number (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Puts the items in a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.int_between(0, last as i64) as usize);
        }
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014).
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the same draw is the same number")]
mod tests {
    use super::*;

    #[test]
    fn mixes_like_the_published_generator() {
        // First output of SplitMix64 with state 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_are_uniform_and_replayable() {
        let seed = Seed(7).derive("collect").derive_indexed(3);
        let mean = (0..20_000).map(|i| seed.uniform_at(i)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let mut draws = seed.rng();
        draws.uniform();
        assert_eq!(draws.uniform(), seed.uniform_at(1));
        assert_ne!(
            Seed(7).derive("a").uniform_at(0),
            Seed(7).derive("b").uniform_at(0)
        );
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Seed(1).rng().shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn normal_has_unit_variance() {
        let mut draws = Seed(3).rng();
        let xs: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = xs.iter().sum::<f64>() / xs.len() as f64;
        let variance = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }
}
