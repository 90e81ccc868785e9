//! Strided matrix products on slices, checked at the border to the unchecked kernel.
#![expect(unsafe_code, reason = "the kernel takes raw pointers; the assertions in `gemm` bound every access")]

/// A strided view of a matrix inside a slice.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The slice, from the matrix's first element on.
    pub data: &'a [f32],
    /// Distance between rows.
    pub row: usize,
    /// Distance between columns.
    pub column: usize,
}

impl<'a> View<'a> {
    /// Rows of `stride` values each, read as they lie.
    pub const fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row: stride, column: 1 }
    }

    /// The same, transposed.
    pub const fn transposed(data: &'a [f32], stride: usize) -> Self {
        Self { data, row: 1, column: stride }
    }

    const fn reach(&self, rows: usize, columns: usize) -> usize {
        (rows - 1) * self.row + (columns - 1) * self.column + 1
    }
}

/// `out = scale * a b`, or `out += scale * a b`; a is \[m, k\], b is \[k, n\], out has rows of
/// `stride` values.
///
/// # Panics
/// If a view does not lie within its slice.
#[expect(clippy::many_single_char_names, reason = "the usual names of a matrix product")]
pub fn gemm(
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    a: View<'_>,
    b: View<'_>,
    scale: f32,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(out.len() > (m - 1) * stride + n - 1, "output of {m} x {n} does not fit");
    if k == 0 {
        if !accumulate {
            out.chunks_mut(stride).take(m).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    assert!(a.data.len() >= a.reach(m, k), "left operand of {m} x {k} does not fit");
    assert!(b.data.len() >= b.reach(k, n), "right operand of {k} x {n} does not fit");
    // SAFETY: the three assertions bound every element that the kernel touches.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_nothing_is_zero() {
        let mut out = [1.0; 5];
        gemm([2, 2, 0], &mut out, 3, View::rows(&[], 0), View::rows(&[], 2), 1.0, true);
        assert_eq!(out, [1.0; 5]);
        gemm([2, 2, 0], &mut out, 3, View::rows(&[], 0), View::rows(&[], 2), 1.0, false);
        assert_eq!(out, [0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn products_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut out = [0.0; 4];
        gemm([2, 2, 3], &mut out, 2, View::rows(&a, 3), View::rows(&b, 2), 1.0, false);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        gemm([2, 2, 3], &mut out, 2, View::rows(&a, 3), View::transposed(&b, 3), 2.0, true);
        assert_eq!(out, [5.0 + 14.0, 11.0 + 20.0, 14.0 + 32.0, 23.0 + 44.0]);
    }
}
