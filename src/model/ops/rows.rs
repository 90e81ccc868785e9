//! Products of rows for sampling, where a row's result must not depend on how many rows there are.
//!
//! Hides how the matrix kernels choose their cuts: they are given pieces for which there is one
//! choice, and never a single row, which they would add up in another order.

use super::gemm::{View, gemm};

/// The longest inner dimension that the matrix kernels are given at once, so that they never
/// choose a cut of their own by the number of rows.
const DEPTH: usize = 512;

/// Rows up to which the matrix kernels read the weights as they lie. For more, they copy them
/// first: a good bargain for hundreds of rows only.
const UNPACKED: usize = 48;

/// `y = x w`, or `y += x w`; x is \[rows, inputs\], w \[inputs, outputs\].
///
/// # Panics
/// If there are fewer than two rows, or a slice is too short.
pub fn product(
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
        let count = if rows - first == UNPACKED + 1 {
            UNPACKED - 1
        } else {
            UNPACKED.min(rows - first)
        };
        let (x, y) = (&x[first * inputs..], &mut y[first * outputs..]);
        for from in (0..inputs).step_by(DEPTH) {
            let depth = DEPTH.min(inputs - from);
            let (x, w) = (
                View::rows(&x[from..], inputs),
                View::rows(&w[from * outputs..], outputs),
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
            let mut draws = Seed(1).draws();
            let mut random = |count: usize| {
                (0..count)
                    .map(|_| draws.normal() as f32)
                    .collect::<Vec<f32>>()
            };
            let (x, w) = (random(150 * inputs), random(inputs * outputs));
            let mut all = vec![0.0; 150 * outputs];
            product([150, outputs, inputs], &mut all, &x, &w, false);
            for rows in (2..100).chain([145, 149]) {
                for first in [0, 150 - rows] {
                    let mut some = vec![0.0; rows * outputs];
                    product(
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
                    product(
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
