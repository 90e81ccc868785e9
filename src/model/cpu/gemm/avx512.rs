//! Matrix products on AVX-512 at the sizes of small models, in the library's order of additions.
//!
//! Responsible for what the library is slow at: it copies an operand for every product, and its tiles
//! suit neither heads of 24 or 32 values nor products as shallow as they are. Here a tile of the
//! result stays in registers and both operands are read as they lie, which is quick where they begin
//! at cache lines. Every value of the result is one chain of fused multiplications and additions over
//! the inner dimension, as in the library: both give the same bits. Must not know what is multiplied.
#![expect(
    unsafe_code,
    reason = "vector loads and stores take raw pointers; `multiply` bounds them all"
)]

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
};
use std::ops::RangeInclusive;

use super::MatrixView;

/// Values of a vector.
const LANES: usize = 16;
/// The shallowest and deepest products: for others the library has another order.
const DEPTHS: RangeInclusive<usize> = 3..=512;
/// Values of the right operand that are read again for every few rows: more than these have to come
/// from beyond a core's own cache.
const CACHED_VALUES: usize = 1 << 17;

/// Whether a product of this kind is for [`multiply`] on this machine: the library multiplies vectors
/// in another order, and is quicker where the right operand is large.
pub fn is_supported([m, n, k]: [usize; 3], b: &MatrixView<'_>) -> bool {
    m > 1
        && n > 1
        && DEPTHS.contains(&k)
        && b.column_stride == 1
        && n * k <= CACHED_VALUES
        && std::arch::is_x86_feature_detected!("avx512f")
}

/// The left operand from some row on: where it begins, and the distances between rows and columns.
#[derive(Clone, Copy)]
struct LeftOperand {
    data: *const f32,
    row: usize,
    column: usize,
}

/// Some columns of the right operand.
#[derive(Clone, Copy)]
struct RightStrip {
    data: *const f32,
    row: usize,
}

/// Where a strip of the result goes, and how.
#[derive(Clone, Copy)]
struct ResultStrip {
    data: *mut f32,
    row: usize,
    scale: f32,
    accumulate: bool,
    /// Lanes of the last vector of a row that belong to the result.
    last: __mmask16,
}

/// As [`gemm`](super::gemm).
///
/// # Safety
/// [`is_supported`] said so, and the elements of all three matrices lie within their slices.
#[expect(
    clippy::many_single_char_names,
    reason = "the usual names of a matrix product"
)]
#[target_feature(enable = "avx512f")]
pub unsafe fn multiply(
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    scale: f32,
    accumulate: bool,
) {
    let left = LeftOperand {
        data: a.data.as_ptr(),
        row: a.row_stride,
        column: a.column_stride,
    };
    let mut first = 0;
    while first < n {
        let vectors = strip_vectors((n - first).div_ceil(LANES));
        let count = (vectors * LANES).min(n - first);
        let last = __mmask16::MAX >> (vectors * LANES - count);
        // SAFETY: column `first` is one of both matrices, and what `last` leaves out is not touched.
        unsafe {
            let strip = RightStrip {
                data: b.data.as_ptr().add(first),
                row: b.row_stride,
            };
            let out = ResultStrip {
                data: out.as_mut_ptr().add(first),
                row: stride,
                scale,
                accumulate,
                last,
            };
            match vectors {
                1 => multiply_rows::<16, 1>(m, k, left, strip, out),
                2 => multiply_rows::<12, 2>(m, k, left, strip, out),
                3 => multiply_rows::<8, 3>(m, k, left, strip, out),
                _ => multiply_rows::<6, 4>(m, k, left, strip, out),
            }
        }
        first += count;
    }
}

/// How many vectors wide the next strip is, of so many that are left: four, or three where a narrow one
/// would remain.
const fn strip_vectors(left: usize) -> usize {
    match left {
        1..=4 => left,
        5 | 6 | 9 => 3,
        _ => 4,
    }
}

/// All m rows of a strip, in tiles of R rows and N vectors: with R N sums, N vectors and a factor, all
/// registers are in use.
///
/// # Safety
/// The left operand has m rows of k, the strip k rows and the result m rows of N vectors.
#[target_feature(enable = "avx512f")]
unsafe fn multiply_rows<const R: usize, const N: usize>(
    m: usize,
    k: usize,
    left: LeftOperand,
    strip: RightStrip,
    out: ResultStrip,
) {
    let mut row = 0;
    while row < m {
        // SAFETY: each tile begins at a row below m and is no taller than what is left.
        unsafe {
            let left = LeftOperand {
                data: left.data.add(row * left.row),
                ..left
            };
            let out = ResultStrip {
                data: out.data.add(row * out.row),
                ..out
            };
            row += match m - row {
                rest if rest >= R => multiply_tile::<R, N>(k, left, strip, out),
                4.. => multiply_tile::<4, N>(k, left, strip, out),
                2.. => multiply_tile::<2, N>(k, left, strip, out),
                _ => multiply_tile::<1, N>(k, left, strip, out),
            };
        }
    }
}

/// R rows and N vectors of the result; returns R.
///
/// # Safety
/// As [`multiply_rows`], with R rows.
#[target_feature(enable = "avx512f")]
unsafe fn multiply_tile<const R: usize, const N: usize>(
    k: usize,
    left: LeftOperand,
    strip: RightStrip,
    out: ResultStrip,
) -> usize {
    let lanes = |vector: usize| {
        if vector + 1 == N {
            out.last
        } else {
            __mmask16::MAX
        }
    };
    let mut sums = [[_mm512_setzero_ps(); N]; R];
    for depth in 0..k {
        // SAFETY: by the caller; lanes beyond the last column are not read.
        unsafe {
            let right: [__m512; N] = std::array::from_fn(|n| {
                let vector = strip.data.add(depth * strip.row + n * LANES);
                if n + 1 == N {
                    _mm512_maskz_loadu_ps(out.last, vector)
                } else {
                    _mm512_loadu_ps(vector)
                }
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = _mm512_set1_ps(*left.data.add(r * left.row + depth * left.column));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_fmadd_ps(factor, right, *sum);
                }
            }
        }
    }
    let scale = _mm512_set1_ps(out.scale);
    for (r, sums) in sums.iter().enumerate() {
        for (n, &sum) in sums.iter().enumerate() {
            // SAFETY: by the caller; lanes beyond the last column are not touched.
            unsafe {
                let place = out.data.add(r * out.row + n * LANES);
                let value = if out.accumulate {
                    _mm512_fmadd_ps(sum, scale, _mm512_maskz_loadu_ps(lanes(n), place))
                } else {
                    _mm512_mul_ps(sum, scale)
                };
                _mm512_mask_storeu_ps(place, lanes(n), value);
            }
        }
    }
    R
}
