//! What one core of this machine can do at most: matrix products and memory traffic.
//!
//! Peaks are the best of several tries; everything else is compared with them.
#![expect(
    unsafe_code,
    reason = "the kernel takes raw pointers; the slices are as long as it reads"
)]

use std::hint::black_box;
use std::time::Instant;

use multiversion::multiversion;
use rise_lab::model::instruction_set;
use serde_json::json;

/// Sizes of the square products.
const SQUARES: [usize; 2] = [1024, 2048];
/// Values per array of the triad: 3 x 256 MiB lie in memory, 3 x 1 MiB in the last-level cache.
const ARRAYS: [(&str, usize); 2] = [("memory", 64 << 20), ("cache", 256 << 10)];
const TRIES: usize = 5;

/// Prints the peaks as one JSON object.
pub fn report() {
    let products: Vec<f64> = SQUARES.iter().map(|&n| product(n)).collect();
    let peak = products.iter().copied().fold(0.0, f64::max);
    let mut report = json!({
        "instruction set": instruction_set(),
        "gemm GFLOP/s": peak,
        "gemm GFLOP/s by size": SQUARES.iter().zip(products).map(|(n, x)| json!([n, x])).collect::<Vec<_>>(),
    });
    for (name, values) in ARRAYS {
        report[format!("{name} GB/s")] = json!(triad(values));
    }
    println!("{report}");
}

/// GFLOP/s of the product of two square matrices.
fn product(n: usize) -> f64 {
    let (a, b, mut c) = (
        vec![0.5_f32; n * n],
        vec![0.25_f32; n * n],
        vec![0.0_f32; n * n],
    );
    let seconds = best(|| {
        let (a, b) = (black_box(&a), black_box(&b));
        // SAFETY: all three matrices are n x n with rows of n values.
        unsafe {
            let n_ = n as isize;
            gemm::gemm(
                n,
                n,
                n,
                c.as_mut_ptr(),
                1,
                n_,
                false,
                a.as_ptr(),
                1,
                n_,
                b.as_ptr(),
                1,
                n_,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        black_box(&mut c);
    });
    2.0 * (n as f64).powi(3) / seconds / 1e9
}

/// GB/s of `a = b + s c`, counted as two reads and one write.
fn triad(values: usize) -> f64 {
    let (mut a, b, c) = (
        vec![0.0_f32; values],
        vec![1.0_f32; values],
        vec![2.0_f32; values],
    );
    let rounds = ((64 << 20) / values).max(1);
    let seconds = best(|| {
        for _ in 0..rounds {
            let (b, c) = (black_box(&b), black_box(&c));
            add(&mut a, b, c);
            black_box(&mut a);
        }
    });
    12.0 * (values * rounds) as f64 / seconds / 1e9
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn add(a: &mut [f32], b: &[f32], c: &[f32]) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = b + 3.0 * c;
    }
}

fn best(mut work: impl FnMut()) -> f64 {
    work();
    (0..TRIES)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}
