//! Root-mean-square normalisation of rows, in 32 bits, and the way back.

use burn::tensor::{FloatDType, Tensor};

/// `x / sqrt(mean(x^2) + epsilon) * gain` for each row of `x` \[N, D\], in the precision of `x`.
pub fn forward(x: &Tensor<2>, gain: &Tensor<1>, epsilon: f64) -> Tensor<2> {
    let wide = x.clone().cast(FloatDType::F32);
    let inverse = inverse_rms(&wide, epsilon);
    (wide * inverse * gain.clone().unsqueeze()).cast(float_dtype(x))
}

/// Gradients of `x` and of the gain, from that of the result; `x` as it went in.
///
/// With `r = 1 / sqrt(mean(x^2) + epsilon)` and `g = gain * dy`:
/// `dx = r g - x r^3 mean(g x)` and `dgain = sum of rows of dy x r`.
pub fn backward(
    x: &Tensor<2>,
    gain: &Tensor<1>,
    epsilon: f64,
    dy: Tensor<2>,
) -> (Tensor<2>, Tensor<1>) {
    let (wide, dy) = (x.clone().cast(FloatDType::F32), dy.cast(FloatDType::F32));
    let inverse = inverse_rms(&wide, epsilon);
    let normed = wide * inverse.clone();
    let dgain = (dy.clone() * normed.clone()).sum_dim(0).squeeze_dim::<1>(0);
    let scaled = dy * gain.clone().unsqueeze();
    let along = (scaled.clone() * normed.clone()).mean_dim(1);
    let dx = (scaled - normed * along) * inverse;
    (dx.cast(float_dtype(x)), dgain)
}

fn inverse_rms(wide: &Tensor<2>, epsilon: f64) -> Tensor<2> {
    (wide.clone().square().mean_dim(1) + epsilon).sqrt().recip()
}

fn float_dtype(x: &Tensor<2>) -> FloatDType {
    x.dtype().into()
}
