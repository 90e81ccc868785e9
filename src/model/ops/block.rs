//! One decoder block on slices, forward and backward:
//! `m = x + attention(norm(x) W_qkv) W_o`, `y = m + swiglu(norm(m) W_gate_up) W_down`.
//!
//! Works on one shard of a ragged batch at a time, so that everything between two products is
//! still in the core's cache when the next one reads it. Keeps what the backward pass cannot make
//! again cheaply; normalised rows and gated activations are made again. Must not know of tensors
//! or of other blocks.

use super::buffer::Buffer;
use super::gemm::{View, gemm};
use super::head::add;
use super::transpose::transposed;
use super::{Heads, Rotary, attention, rms_norm, swiglu};

/// What a block's arithmetic depends on beside its weights.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Attention heads.
    pub heads: Heads,
    /// D: width of the residual stream.
    pub width: usize,
    /// F: width of the SwiGLU layer.
    pub hidden: usize,
    /// Added to the mean square in `RMSNorm`.
    pub epsilon: f32,
    /// Rotary tables.
    pub rotary: Rotary,
}

/// A block's weights, or their gradients: attention gain \[D\], packed queries, keys and values
/// \[D, (H + 2 K) S\], attention output \[H S, D\], SwiGLU gain \[D\], packed gates and ups
/// \[D, 2 F\], SwiGLU output \[F, D\].
#[derive(Clone, Debug)]
pub struct Parts<T> {
    /// Gain before attention.
    pub attention_norm: T,
    /// Queries, keys and values.
    pub packed: T,
    /// Attention output.
    pub output: T,
    /// Gain before the SwiGLU layer.
    pub mlp_norm: T,
    /// Gates and ups.
    pub gate_up: T,
    /// SwiGLU output.
    pub down: T,
}

impl<T> Parts<T> {
    /// The parts in the order of the fields.
    pub fn into_array(self) -> [T; 6] {
        [
            self.attention_norm,
            self.packed,
            self.output,
            self.mlp_norm,
            self.gate_up,
            self.down,
        ]
    }

    /// Parts from the order of the fields.
    pub fn from_array([attention_norm, packed, output, mlp_norm, gate_up, down]: [T; 6]) -> Self {
        Self {
            attention_norm,
            packed,
            output,
            mlp_norm,
            gate_up,
            down,
        }
    }
}

impl Parts<Buffer> {
    /// Gradients to be: gains 0, since they are added to; matrices of unknown content, since the
    /// first product overwrites them.
    #[must_use]
    pub fn gradients(shape: &Shape) -> Self {
        let Shape {
            heads,
            width,
            hidden,
            ..
        } = shape;
        Self {
            attention_norm: Buffer::zeros(*width),
            packed: Buffer::take(width * heads.packed()),
            output: Buffer::take(heads.width() * width),
            mlp_norm: Buffer::zeros(*width),
            gate_up: Buffer::take(width * 2 * hidden),
            down: Buffer::take(hidden * width),
        }
    }
}

impl Parts<Buffer> {
    /// Adds the parts of `other`.
    pub fn add(&mut self, other: &Self) {
        let Self {
            attention_norm,
            packed,
            output,
            mlp_norm,
            gate_up,
            down,
        } = self;
        add(attention_norm, &other.attention_norm);
        add(packed, &other.packed);
        add(output, &other.output);
        add(mlp_norm, &other.mlp_norm);
        add(gate_up, &other.gate_up);
        add(down, &other.down);
    }
}

/// A block's matrices, transposed for the backward pass.
#[derive(Debug)]
pub struct Turned {
    packed: Buffer,
    output: Buffer,
    gate_up: Buffer,
    down: Buffer,
}

impl Turned {
    /// Transposes the matrices among `weights`.
    #[must_use]
    pub fn new(weights: &Parts<&[f32]>, shape: &Shape) -> Self {
        Self {
            packed: transposed(weights.packed, shape.heads.packed()),
            output: transposed(weights.output, shape.width),
            gate_up: transposed(weights.gate_up, 2 * shape.hidden),
            down: transposed(weights.down, shape.width),
        }
    }
}

/// What the backward pass of a shard needs beside the block's input.
#[derive(Debug)]
pub struct Kept {
    inverse_input: Buffer,
    rotated: Buffer,
    probabilities: Buffer,
    mixed: Buffer,
    middle: Buffer,
    inverse_middle: Buffer,
    gate_up: Buffer,
}

impl Kept {
    fn take(shape: &Shape, lengths: &[usize]) -> Self {
        let (rows, heads) = (lengths.iter().sum::<usize>(), &shape.heads);
        Self {
            inverse_input: Buffer::take(rows),
            rotated: Buffer::take(rows * heads.packed()),
            probabilities: Buffer::take(attention::squares(lengths, heads)),
            mixed: Buffer::take(rows * heads.width()),
            middle: Buffer::take(rows * shape.width),
            inverse_middle: Buffer::take(rows),
            gate_up: Buffer::take(rows * 2 * shape.hidden),
        }
    }
}

/// Passes the rows `x` \[N, D\] of whole sequences through the block, in place.
pub fn forward(x: &mut [f32], weights: &Parts<&[f32]>, shape: &Shape, lengths: &[usize]) -> Kept {
    let Shape {
        heads,
        width,
        hidden,
        epsilon,
        rotary,
    } = shape;
    let rows = x.len() / width;
    let mut kept = Kept::take(shape, lengths);
    let mut normed = Buffer::take(x.len());
    rms_norm::forward(
        x,
        weights.attention_norm,
        *epsilon,
        &mut normed,
        &mut kept.inverse_input,
    );
    product(
        [rows, *width, heads.packed()],
        &normed,
        weights.packed,
        &mut kept.rotated,
        false,
    );
    attention::rotate(&mut kept.rotated, heads, lengths, rotary, false);
    attention::forward(
        &kept.rotated,
        heads,
        lengths,
        &mut kept.probabilities,
        &mut kept.mixed,
    );
    product(
        [rows, heads.width(), *width],
        &kept.mixed,
        weights.output,
        x,
        true,
    );
    kept.middle.copy_from_slice(x);
    rms_norm::forward(
        x,
        weights.mlp_norm,
        *epsilon,
        &mut normed,
        &mut kept.inverse_middle,
    );
    product(
        [rows, *width, 2 * hidden],
        &normed,
        weights.gate_up,
        &mut kept.gate_up,
        false,
    );
    let mut gated = Buffer::take(rows * hidden);
    swiglu::forward(&kept.gate_up, *hidden, &mut gated);
    product([rows, *hidden, *width], &gated, weights.down, x, true);
    kept
}

/// A shard that went through the block, and the block.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// The block's weights.
    pub weights: &'a Parts<&'a [f32]>,
    /// Its matrices once more.
    pub turned: &'a Turned,
    /// Its sizes.
    pub shape: &'a Shape,
    /// The block's input, \[N, D\].
    pub x: &'a [f32],
    /// What [`forward`] kept.
    pub kept: &'a Kept,
    /// Lengths of the sequences.
    pub lengths: &'a [usize],
}

/// Turns `dx` from the gradient of the block's output into that of its input, and puts the
/// weights' gradients into `gradients`, or adds them to what is there if `accumulate`.
pub fn backward(
    passed: &Passed<'_>,
    dx: &mut [f32],
    gradients: &mut Parts<Buffer>,
    accumulate: bool,
) {
    backward_mlp(passed, dx, gradients, accumulate);
    backward_attention(passed, dx, gradients, accumulate);
}

fn backward_mlp(
    passed: &Passed<'_>,
    dx: &mut [f32],
    gradients: &mut Parts<Buffer>,
    accumulate: bool,
) {
    let Passed {
        weights,
        turned,
        shape: Shape { width, hidden, .. },
        kept,
        ..
    } = *passed;
    let rows = dx.len() / width;
    let (mut gated, mut dgated) = (Buffer::take(rows * hidden), Buffer::take(rows * hidden));
    let mut dgate_up = Buffer::take(rows * 2 * hidden);
    product(
        [rows, *width, *hidden],
        dx,
        &turned.down,
        &mut dgated,
        false,
    );
    swiglu::backward(&kept.gate_up, *hidden, &dgated, &mut gated, &mut dgate_up);
    outer(
        [rows, *hidden, *width],
        &gated,
        dx,
        &mut gradients.down,
        accumulate,
    );
    let (mut normed, mut dnormed) = (Buffer::take(dx.len()), Buffer::take(dx.len()));
    rms_norm::again(
        &kept.middle,
        weights.mlp_norm,
        &kept.inverse_middle,
        &mut normed,
    );
    outer(
        [rows, *width, 2 * hidden],
        &normed,
        &dgate_up,
        &mut gradients.gate_up,
        accumulate,
    );
    product(
        [rows, 2 * hidden, *width],
        &dgate_up,
        &turned.gate_up,
        &mut dnormed,
        false,
    );
    let (inverse, dgain) = (&kept.inverse_middle, &mut gradients.mlp_norm);
    rms_norm::backward(&kept.middle, weights.mlp_norm, inverse, &dnormed, dx, dgain);
}

fn backward_attention(
    passed: &Passed<'_>,
    dx: &mut [f32],
    gradients: &mut Parts<Buffer>,
    accumulate: bool,
) {
    let Passed {
        weights,
        turned,
        shape:
            Shape {
                heads,
                width,
                rotary,
                ..
            },
        x,
        kept,
        lengths,
    } = *passed;
    let rows = dx.len() / width;
    let mut dmixed = Buffer::take(kept.mixed.len());
    outer(
        [rows, heads.width(), *width],
        &kept.mixed,
        dx,
        &mut gradients.output,
        accumulate,
    );
    product(
        [rows, *width, heads.width()],
        dx,
        &turned.output,
        &mut dmixed,
        false,
    );
    let mut dpacked = Buffer::take(kept.rotated.len());
    attention::backward(
        &kept.rotated,
        &kept.probabilities,
        heads,
        lengths,
        &dmixed,
        &mut dpacked,
    );
    attention::rotate(&mut dpacked, heads, lengths, rotary, true);
    let (mut normed, mut dnormed) = (Buffer::take(dx.len()), Buffer::take(dx.len()));
    rms_norm::again(x, weights.attention_norm, &kept.inverse_input, &mut normed);
    outer(
        [rows, *width, heads.packed()],
        &normed,
        &dpacked,
        &mut gradients.packed,
        accumulate,
    );
    product(
        [rows, heads.packed(), *width],
        &dpacked,
        &turned.packed,
        &mut dnormed,
        false,
    );
    let (inverse, dgain) = (&kept.inverse_input, &mut gradients.attention_norm);
    rms_norm::backward(x, weights.attention_norm, inverse, &dnormed, dx, dgain);
}

/// `y = x W`, or `y += x W`: x \[N, I\], W \[I, O\], y \[N, O\].
fn product(
    [rows, inputs, outputs]: [usize; 3],
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    accumulate: bool,
) {
    let (x, w) = (View::rows(x, inputs), View::rows(w, outputs));
    gemm([rows, outputs, inputs], y, outputs, x, w, 1.0, accumulate);
}

/// `dW = x^T dy`, or `dW += x^T dy`: x \[N, I\], dy \[N, O\], dW \[I, O\].
fn outer(
    [rows, inputs, outputs]: [usize; 3],
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: bool,
) {
    let (x, dy) = (View::transposed(x, inputs), View::rows(dy, outputs));
    gemm([inputs, outputs, rows], dw, outputs, x, dy, 1.0, accumulate);
}
