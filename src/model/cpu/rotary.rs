//! Rotary position encoding in Hugging Face's half-split convention (Su et al. 2021): the first
//! half of a head is rotated against its second half.

use std::sync::Arc;

/// Cosines and sines of every position, \[positions, S / 2\] each.
#[derive(Clone, Debug)]
pub struct RotaryTables {
    /// Cosines.
    pub cosines: Arc<[f32]>,
    /// Sines.
    pub sines: Arc<[f32]>,
    half_size: usize,
}

impl RotaryTables {
    /// The tables for heads of size `size`, with frequencies `theta^(-2 i / S)`.
    #[must_use]
    pub fn new(positions: usize, size: usize, theta: f64) -> Self {
        Self::with_scaling(positions, size, theta, |positions| positions)
    }

    /// The tables with every coordinate's positions per radian, `theta^(2 i / S)`, changed.
    #[must_use]
    pub fn with_scaling(
        positions: usize,
        size: usize,
        theta: f64,
        change: impl Fn(f64) -> f64,
    ) -> Self {
        let half = size / 2;
        let radian: Vec<f64> = (0..half)
            .map(|i| change(theta.powf(2.0 * i as f64 / size as f64)))
            .collect();
        let angle = |at: usize| (at / half) as f64 / radian[at % half];
        let table = |f: fn(f64) -> f64| {
            (0..positions * half)
                .map(|at| f(angle(at)) as f32)
                .collect()
        };
        Self {
            cosines: table(f64::cos),
            sines: table(f64::sin),
            half_size: half,
        }
    }

    /// Positions that the tables hold.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.cosines.len() / self.half_size
    }

    /// Rotates consecutive heads in `row` by the angle of `position`; backwards if `inverse`.
    ///
    /// # Panics
    /// If the position is beyond the tables.
    #[expect(
        clippy::inline_always,
        reason = "callers are compiled once per instruction set, and so must this be"
    )]
    #[inline(always)]
    pub fn rotate(&self, row: &mut [f32], position: usize, inverse: bool) {
        let cosines = &self.cosines[position * self.half_size..][..self.half_size];
        let sines = &self.sines[position * self.half_size..][..self.half_size];
        let sign = if inverse { -1.0 } else { 1.0 };
        for head in row.chunks_exact_mut(2 * self.half_size) {
            let (first, second) = head.split_at_mut(self.half_size);
            for (((a, b), c), s) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                let (x, y, s) = (*a, *b, s * sign);
                *a = x * c - y * s;
                *b = x * s + y * c;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_one_turns_by_one_radian_and_back() {
        let rotary = RotaryTables::new(4, 2, 10_000.0);
        let mut head = [1.0, 0.0];
        rotary.rotate(&mut head, 1, false);
        assert!((head[0] - 1.0_f32.cos()).abs() < 1e-7 && (head[1] - 1.0_f32.sin()).abs() < 1e-7);
        rotary.rotate(&mut head, 1, true);
        assert!((head[0] - 1.0).abs() < 1e-7 && head[1].abs() < 1e-7);
    }
}
