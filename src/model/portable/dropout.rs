//! Which of the adapters' inputs are left out in a step of training.
//!
//! What is kept is drawn on the host, for each row by its place in the batch, so that it depends on
//! neither the device nor the pieces that a batch is passed in. One draw serves all projections that
//! lie in one matrix.

use std::ops::Range;

use burn::tensor::{FloatDType, Tensor, TensorData};

use crate::domain::Seed;
use crate::model::adapters::BlockMatrix;

/// Numbers of a 64-bit draw.
const NUMBERS_PER_DRAW: usize = 4;

/// The inputs that one piece of a batch leaves out.
#[derive(Clone, Debug)]
pub struct AdapterDropout {
    /// The part that is left out.
    pub probability: f64,
    /// The step's seed.
    pub seed: Seed,
    /// The piece's rows in the batch.
    pub rows: Range<usize>,
}

impl AdapterDropout {
    /// 0 for what is left out of `x` \[N, in\] before a matrix of a layer, and what makes up for it
    /// elsewhere, \[N, in\].
    pub fn mask(&self, layer: usize, packed: BlockMatrix, x: &Tensor<2>) -> Tensor<2> {
        let width = x.dims()[1];
        let seed = self.seed.derive(packed.name()).derive_indexed(layer as u64);
        let (least, kept) = (
            self.probability * 65_536.0,
            (1.0 - self.probability).recip() as f32,
        );
        let mut mask = Vec::with_capacity(self.rows.len() * width);
        for row in self.rows.clone() {
            let seed = seed.derive_indexed(row as u64);
            mask.extend((0..width).map(|column| {
                let draw = seed.derive_indexed((column / NUMBERS_PER_DRAW) as u64).0
                    >> (16 * (column % NUMBERS_PER_DRAW));
                if f64::from(draw as u16) < least {
                    0.0
                } else {
                    kept
                }
            }));
        }
        let mask =
            Tensor::<2>::from_data(TensorData::new(mask, [self.rows.len(), width]), &x.device());
        mask.cast(FloatDType::from(x.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn mask(rows: Range<usize>, part: f64, layer: usize) -> Vec<f32> {
        let x = Tensor::<2>::zeros([rows.len(), 64], &Device::flex());
        let dropout = AdapterDropout {
            probability: part,
            seed: Seed(3),
            rows,
        };
        dropout
            .mask(layer, BlockMatrix::Down, &x)
            .into_data()
            .try_into_vec()
            .unwrap()
    }

    #[test]
    fn the_part_left_out_is_the_one_asked_for_and_the_rest_makes_up_for_it() {
        let mask = mask(0..500, 0.25, 0);
        let dropped = mask.iter().filter(|value| **value == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        let mean = mask.iter().map(|value| f64::from(*value)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn a_row_is_the_same_in_every_piece_and_another_in_every_layer() {
        let whole = mask(0..10, 0.5, 1);
        assert_eq!(mask(4..10, 0.5, 1), whole[4 * 64..]);
        assert_ne!(mask(0..10, 0.5, 2), whole);
    }
}
