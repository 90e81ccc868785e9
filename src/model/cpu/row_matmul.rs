//! Products of rows for sampling, where a row's result must not depend on how many rows there are.
//!
//! Hides how the matrix kernels choose their cuts: they are given pieces for which there is one
//! choice, and never a single row, which they would add up in another order.

use super::gemm::{MatrixView, gemm};

/// The longest inner dimension that the matrix kernels are given at once, so that they never
/// choose a cut of their own by the number of rows.
const MAX_DEPTH: usize = 512;

/// Rows up to which the matrix kernels read the weights as they lie. For more, they copy them
/// first: a good bargain for hundreds of rows only.
const MAX_UNPACKED_ROWS: usize = 48;

/// `y = x w`, or `y += x w`; x is \[rows, inputs\], w \[inputs, outputs\].
///
/// # Panics
/// If there are fewer than two rows, or a slice is too short.
pub fn matmul_rows(
    [rows, outputs, inputs]: [usize; 3],
    y: &mut [f32],
    x: &[f32],
    w: &[f32],
    accumulate: bool,
) {
    assert!(rows > 1, "a single row would be added up in another order");
    let mut first = 0;
    while first < rows {
        // A single row must not be left over.
        let count = if rows - first == MAX_UNPACKED_ROWS + 1 {
            MAX_UNPACKED_ROWS - 1
        } else {
            MAX_UNPACKED_ROWS.min(rows - first)
        };
        let (x, y) = (&x[first * inputs..], &mut y[first * outputs..]);
        for from in (0..inputs).step_by(MAX_DEPTH) {
            let depth = MAX_DEPTH.min(inputs - from);
            let (x, w) = (
                MatrixView::row_major(&x[from..], inputs),
                MatrixView::row_major(&w[from * outputs..], outputs),
            );
            gemm(
                [count, outputs, depth],
                y,
                outputs,
                x,
                w,
                1.0,
                accumulate || from > 0,
            );
        }
        first += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Seed;

    #[test]
    fn a_row_of_a_product_does_not_depend_on_how_many_there_are() {
        for [inputs, outputs] in [[32, 37], [600, 64], [1100, 130], [3, 2]] {
            let mut draws = Seed(1).rng();
            let mut random = |count: usize| {
                (0..count)
                    .map(|_| draws.normal() as f32)
                    .collect::<Vec<f32>>()
            };
            let (x, w) = (random(150 * inputs), random(inputs * outputs));
            let mut all = vec![0.0; 150 * outputs];
            matmul_rows([150, outputs, inputs], &mut all, &x, &w, false);
            for rows in (2..100).chain([145, 149]) {
                for first in [0, 150 - rows] {
                    let mut some = vec![0.0; rows * outputs];
                    matmul_rows(
                        [rows, outputs, inputs],
                        &mut some,
                        &x[first * inputs..],
                        &w,
                        false,
                    );
                    assert!(
                        some == all[first * outputs..(first + rows) * outputs],
                        "{rows} of {inputs} x {outputs}"
                    );
                    matmul_rows(
                        [rows, outputs, inputs],
                        &mut some,
                        &x[first * inputs..],
                        &w,
                        true,
                    );
                    let twice = some
                        .iter()
                        .zip(&all[first * outputs..])
                        .all(|(a, b)| (a - 2.0 * b).abs() < 1e-4 * b.abs().max(1.0));
                    assert!(twice, "{rows} of {inputs} x {outputs}, added");
                }
            }
        }
    }
}
