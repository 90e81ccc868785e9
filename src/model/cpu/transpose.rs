//! Transposed copies of weight matrices: the backward pass multiplies with them many times, and
//! the matrix kernel reads rows faster than columns.

use multiversion::multiversion;

use super::buffer::PooledBuffer;

/// Side of the squares that are turned one at a time, so that both sides stay in the cache.
const TILE_SIDE: usize = 16;

/// The transpose of a matrix with rows of `columns` values.
#[must_use]
pub fn transpose(matrix: &[f32], columns: usize) -> PooledBuffer {
    let mut out = PooledBuffer::acquire(matrix.len());
    transpose_into(matrix, columns, &mut out);
    out
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn transpose_into(matrix: &[f32], columns: usize, out: &mut [f32]) {
    let rows = matrix.len() / columns;
    for top in (0..rows).step_by(TILE_SIDE) {
        let bottom = (top + TILE_SIDE).min(rows);
        for left in (0..columns).step_by(TILE_SIDE) {
            for column in left..(left + TILE_SIDE).min(columns) {
                let line = &mut out[column * rows + top..column * rows + bottom];
                for (to, row) in line.iter_mut().zip(top..) {
                    *to = matrix[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values are copied")]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for [rows, columns] in [[1, 1], [3, 5], [16, 16], [17, 33], [40, 15]] {
            let matrix: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let turned = transpose(&matrix, columns);
            for (place, value) in matrix.iter().enumerate() {
                assert_eq!(turned[place % columns * rows + place / columns], *value);
            }
        }
    }
}
