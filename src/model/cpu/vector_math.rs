//! A vectorisable exponential: the same bits on every instruction set.
#![expect(
    clippy::inline_always,
    reason = "callers are compiled once per instruction set, and so must this be"
)]

/// e^x to within 2 units in the last place for x in [-87, 88]; below, the value at -87.
///
/// Range reduction to |r| <= ln 2 / 2 and a polynomial of degree 6 in Horner's form, without
/// fused multiply-adds, so that scalar and vector code agree bit for bit.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number.
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // The low bits of `shifted` are n: a conversion to an integer would not vectorise.
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// Sum of 16 interleaved partial sums: a fixed order that vectorises.
#[inline(always)]
pub fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    sum_lanes(&lanes) + rest.iter().sum::<f32>()
}

/// Inner product with the same 16 interleaved partial sums.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    sum_lanes(&lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Sum of the products of three values, with the same 16 interleaved partial sums.
#[inline(always)]
pub fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let (c_chunks, c_rest) = c.as_chunks::<16>();
    for ((a, b), c) in a_chunks.iter().zip(b_chunks).zip(c_chunks) {
        for (((lane, a), b), c) in lanes.iter_mut().zip(a).zip(b).zip(c) {
            *lane += a * b * c;
        }
    }
    let rest = a_rest.iter().zip(b_rest).zip(c_rest);
    sum_lanes(&lanes) + rest.map(|((a, b), c)| a * b * c).sum::<f32>()
}

/// Sum of squares in double precision, with 16 interleaved partial sums.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    lanes.iter().sum::<f64>()
        + rest
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
}

/// The largest value, by 16 interleaved maxima.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *value);
        }
    }
    rest.iter().fold(max_lanes(&lanes), |a, &b| larger(a, b))
}

/// Sum of 16 values, halving from the outside in.
#[inline(always)]
pub fn sum_lanes(lanes: &[f32; 16]) -> f32 {
    reduce_lanes(lanes, |a, b| a + b)
}

/// The largest of 16 values.
#[inline(always)]
pub fn max_lanes(lanes: &[f32; 16]) -> f32 {
    reduce_lanes(lanes, larger)
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn reduce_lanes(lanes: &[f32; 16], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = [0.0_f32; 8];
    for (i, slot) in half.iter_mut().enumerate() {
        *slot = join(lanes[i], lanes[i + 8]);
    }
    let mut quarter = [0.0_f32; 4];
    for (i, slot) in quarter.iter_mut().enumerate() {
        *slot = join(half[i], half[i + 4]);
    }
    join(join(quarter[0], quarter[2]), join(quarter[1], quarter[3]))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_real_one() {
        for i in -870..880 {
            let x = i as f32 * 0.1 + 0.013;
            let (ours, real) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / real - 1.0).abs() < 3e-7, "{x}: {ours} {real}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1e-37);
    }

    #[test]
    fn reductions_agree_with_plain_loops() {
        let a: Vec<f32> = (0..45).map(|i| ((i * 7) % 13) as f32 - 6.0).collect();
        let b: Vec<f32> = (0..45).map(|i| ((i * 5) % 11) as f32 - 5.0).collect();
        assert_eq!(sum(&a), a.iter().sum::<f32>());
        assert_eq!(
            dot(&a, &b),
            a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>()
        );
        let cubes: f32 = a.iter().zip(&b).map(|(x, y)| x * y * x).sum();
        assert_eq!(dot3(&a, &b, &a), cubes);
        assert_eq!(
            sum_of_squares(&a),
            a.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>()
        );
        assert_eq!(max(&a), 6.0);
        assert_eq!(max(&[]), f32::NEG_INFINITY);
    }
}
