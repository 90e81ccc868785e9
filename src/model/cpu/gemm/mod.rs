//! Strided matrix products on slices, checked at the border to the unchecked kernels: the library's, and
//! `tiles` for small models on AVX-512. Whichever takes a product, its bits are the same.
#![expect(
    unsafe_code,
    reason = "the kernels take raw pointers; the assertions in `gemm` bound every access"
)]

#[cfg(target_arch = "x86_64")]
mod avx512;

/// A strided view of a matrix inside a slice.
#[derive(Clone, Copy)]
pub struct MatrixView<'a> {
    /// The slice, from the matrix's first element on.
    pub data: &'a [f32],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// Rows of `stride` values each, read as they lie.
    pub const fn row_major(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// The same, transposed.
    pub const fn transposed(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            row_stride: 1,
            column_stride: stride,
        }
    }

    const fn extent(&self, rows: usize, columns: usize) -> usize {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1
    }
}

/// `out = scale * a b`, or `out += scale * a b`; a is \[m, k\], b is \[k, n\], out has rows of
/// `stride` values.
///
/// # Panics
/// If a view does not lie within its slice.
#[expect(
    clippy::many_single_char_names,
    reason = "the usual names of a matrix product"
)]
pub fn gemm(
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    scale: f32,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        out.len() > (m - 1) * stride + n - 1,
        "output of {m} x {n} does not fit"
    );
    if k == 0 {
        if !accumulate {
            out.chunks_mut(stride)
                .take(m)
                .for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    assert!(
        a.data.len() >= a.extent(m, k),
        "left operand of {m} x {k} does not fit"
    );
    assert!(
        b.data.len() >= b.extent(k, n),
        "right operand of {k} x {n} does not fit"
    );
    #[cfg(target_arch = "x86_64")]
    if avx512::is_supported([m, n, k], &b) {
        // SAFETY: the product suits, and the three assertions bound every element that is touched.
        unsafe { avx512::multiply([m, n, k], out, stride, a, b, scale, accumulate) };
        return;
    }
    // SAFETY: as above.
    unsafe { library_gemm([m, n, k], out, stride, a, b, scale, accumulate) }
}

/// The library's product.
///
/// # Safety
/// The elements of all three matrices lie within their slices.
#[expect(
    clippy::many_single_char_names,
    reason = "the usual names of a matrix product"
)]
unsafe fn library_gemm(
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    scale: f32,
    accumulate: bool,
) {
    // SAFETY: by the caller.
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
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Seed;

    fn random(count: usize, seed: u64) -> Vec<f32> {
        let mut draws = Seed(seed).rng();
        (0..count).map(|_| draws.normal() as f32).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Training must not depend on the choice of a kernel.
        #[test]
        fn every_product_has_the_bits_of_the_library(
            [m, n] in [1..70_usize, 1..140_usize],
            k in prop_oneof![1..40_usize, 1..530_usize],
            [beyond, beyond_b] in [0..5_usize, 0..5_usize],
            [turned, accumulate]: [bool; 2],
            scale in prop_oneof![Just(1.0), Just(0.204_f32)],
            seed: u64,
        ) {
            let (stride, row) = (n + beyond, n + beyond_b);
            let (a, b) = (random(m * k, seed), random(k * row, seed ^ 1));
            let a = if turned { MatrixView::transposed(&a, m) } else { MatrixView::row_major(&a, k) };
            let b = MatrixView::row_major(&b, row);
            let mut ours = random(m * stride, seed ^ 2);
            let mut theirs = ours.clone();
            gemm([m, n, k], &mut ours, stride, a, b, scale, accumulate);
            // SAFETY: the slices have the sizes that the strides ask for.
            unsafe { library_gemm([m, n, k], &mut theirs, stride, a, b, scale, accumulate) };
            prop_assert!(bits(&ours) == bits(&theirs), "{m} x {n} x {k}");
        }
    }

    #[test]
    fn a_sum_of_nothing_is_zero() {
        let mut out = [1.0; 5];
        gemm(
            [2, 2, 0],
            &mut out,
            3,
            MatrixView::row_major(&[], 0),
            MatrixView::row_major(&[], 2),
            1.0,
            true,
        );
        assert_eq!(out, [1.0; 5]);
        gemm(
            [2, 2, 0],
            &mut out,
            3,
            MatrixView::row_major(&[], 0),
            MatrixView::row_major(&[], 2),
            1.0,
            false,
        );
        assert_eq!(out, [0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn products_by_hand() {
        let (a, b) = (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [1.0, 0.0, 2.0, 1.0, 0.0, 3.0],
        );
        let mut out = [0.0; 4];
        gemm(
            [2, 2, 3],
            &mut out,
            2,
            MatrixView::row_major(&a, 3),
            MatrixView::row_major(&b, 2),
            1.0,
            false,
        );
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        gemm(
            [2, 2, 3],
            &mut out,
            2,
            MatrixView::row_major(&a, 3),
            MatrixView::transposed(&b, 3),
            2.0,
            true,
        );
        assert_eq!(out, [5.0 + 14.0, 11.0 + 20.0, 14.0 + 32.0, 23.0 + 44.0]);
    }
}
