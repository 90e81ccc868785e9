//! One decoder block on slices, forward and backward:
//! `m = x + attention(norm(x) W_qkv) W_o`, `y = m + swiglu(norm(m) W_gate_up) W_down`.
//!
//! Works on one shard of a ragged batch at a time, so that everything between two products is
//! still in the core's cache when the next one reads it. Keeps what the backward pass cannot make
//! again cheaply; normalised rows and gated activations are made again. Must not know of tensors
//! or of other blocks.

use super::buffer::PooledBuffer;
use super::gemm::{MatrixView, gemm};
use super::head::add_into;
use super::transpose::transpose;
use super::{AttentionHeads, RotaryTables, attention, rms_norm, swiglu};

/// Sizes and tables of a block.
#[derive(Clone, Debug)]
pub struct BlockShape {
    /// Attention heads.
    pub heads: AttentionHeads,
    /// D: width of the residual stream.
    pub width: usize,
    /// F: width of the SwiGLU layer.
    pub hidden: usize,
    /// Added to the mean square in `RMSNorm`.
    pub epsilon: f32,
    /// Rotary tables.
    pub rotary: RotaryTables,
}

/// A block's weights, or their gradients: attention gain \[D\], packed queries, keys and values
/// \[D, (H + 2 K) S\], attention output \[H S, D\], SwiGLU gain \[D\], packed gates and ups
/// \[D, 2 F\], SwiGLU output \[F, D\].
#[derive(Clone, Debug)]
pub struct BlockParams<T> {
    /// Gain before attention.
    pub attention_norm: T,
    /// Queries, keys and values.
    pub qkv: T,
    /// Attention output.
    pub output: T,
    /// Gain before the SwiGLU layer.
    pub mlp_norm: T,
    /// Gates and ups.
    pub gate_up: T,
    /// SwiGLU output.
    pub down: T,
}

impl<T> BlockParams<T> {
    /// The parts in the order of the fields.
    pub fn into_array(self) -> [T; 6] {
        [
            self.attention_norm,
            self.qkv,
            self.output,
            self.mlp_norm,
            self.gate_up,
            self.down,
        ]
    }

    /// References to the parts.
    pub const fn each_ref(&self) -> BlockParams<&T> {
        BlockParams {
            attention_norm: &self.attention_norm,
            qkv: &self.qkv,
            output: &self.output,
            mlp_norm: &self.mlp_norm,
            gate_up: &self.gate_up,
            down: &self.down,
        }
    }

    /// The parts, each passed through `function`.
    pub fn map<U>(self, function: impl FnMut(T) -> U) -> BlockParams<U> {
        BlockParams::from_array(self.into_array().map(function))
    }

    /// Parts from the order of the fields.
    pub fn from_array([attention_norm, packed, output, mlp_norm, gate_up, down]: [T; 6]) -> Self {
        Self {
            attention_norm,
            qkv: packed,
            output,
            mlp_norm,
            gate_up,
            down,
        }
    }
}

impl BlockParams<PooledBuffer> {
    /// Gradients to be: gains 0, since they are added to; matrices of unknown content, since the
    /// first product overwrites them.
    #[must_use]
    pub fn gradient_buffers(shape: &BlockShape) -> Self {
        let BlockShape {
            heads,
            width,
            hidden,
            ..
        } = shape;
        Self {
            attention_norm: PooledBuffer::zeros(*width),
            qkv: PooledBuffer::acquire(width * heads.qkv_width()),
            output: PooledBuffer::acquire(heads.query_width() * width),
            mlp_norm: PooledBuffer::zeros(*width),
            gate_up: PooledBuffer::acquire(width * 2 * hidden),
            down: PooledBuffer::acquire(hidden * width),
        }
    }

    /// Adds the parts of `other`.
    pub fn add(&mut self, other: &Self) {
        add_into(&mut self.attention_norm, &other.attention_norm);
        add_into(&mut self.qkv, &other.qkv);
        add_into(&mut self.output, &other.output);
        add_into(&mut self.mlp_norm, &other.mlp_norm);
        add_into(&mut self.gate_up, &other.gate_up);
        add_into(&mut self.down, &other.down);
    }
}

/// A block's matrices, transposed for the backward pass.
#[derive(Debug)]
pub struct TransposedWeights {
    qkv: PooledBuffer,
    output: PooledBuffer,
    gate_up: PooledBuffer,
    down: PooledBuffer,
}

impl TransposedWeights {
    /// Transposes the matrices among `weights`.
    #[must_use]
    pub fn new(weights: &BlockParams<&[f32]>, shape: &BlockShape) -> Self {
        Self {
            qkv: transpose(weights.qkv, shape.heads.qkv_width()),
            output: transpose(weights.output, shape.width),
            gate_up: transpose(weights.gate_up, 2 * shape.hidden),
            down: transpose(weights.down, shape.width),
        }
    }
}

/// Activations of a shard that the backward pass reads.
#[derive(Debug)]
pub struct SavedActivations {
    inverse_input: PooledBuffer,
    rotated: PooledBuffer,
    probabilities: PooledBuffer,
    mixed: PooledBuffer,
    middle: PooledBuffer,
    inverse_middle: PooledBuffer,
    gate_up: PooledBuffer,
}

impl SavedActivations {
    fn acquire(shape: &BlockShape, lengths: &[usize]) -> Self {
        let (rows, heads) = (lengths.iter().sum::<usize>(), &shape.heads);
        Self {
            inverse_input: PooledBuffer::acquire(rows),
            rotated: PooledBuffer::acquire(rows * heads.qkv_width()),
            probabilities: PooledBuffer::acquire(attention::probability_count(lengths, heads)),
            mixed: PooledBuffer::acquire(rows * heads.query_width()),
            middle: PooledBuffer::acquire(rows * shape.width),
            inverse_middle: PooledBuffer::acquire(rows),
            gate_up: PooledBuffer::acquire(rows * 2 * shape.hidden),
        }
    }
}

/// Passes the rows `x` \[N, D\] of whole sequences through the block, in place.
pub fn forward(
    x: &mut [f32],
    weights: &BlockParams<&[f32]>,
    shape: &BlockShape,
    lengths: &[usize],
) -> SavedActivations {
    let BlockShape {
        heads,
        width,
        hidden,
        epsilon,
        rotary,
    } = shape;
    let rows = x.len() / width;
    let mut kept = SavedActivations::acquire(shape, lengths);
    let mut normed = PooledBuffer::acquire(x.len());
    rms_norm::forward(
        x,
        weights.attention_norm,
        *epsilon,
        &mut normed,
        &mut kept.inverse_input,
    );
    matmul(
        [rows, *width, heads.qkv_width()],
        &normed,
        weights.qkv,
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
    matmul(
        [rows, heads.query_width(), *width],
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
    matmul(
        [rows, *width, 2 * hidden],
        &normed,
        weights.gate_up,
        &mut kept.gate_up,
        false,
    );
    let mut gated = PooledBuffer::acquire(rows * hidden);
    swiglu::forward(&kept.gate_up, *hidden, &mut gated);
    matmul([rows, *hidden, *width], &gated, weights.down, x, true);
    kept
}

/// A shard that went through the block, and the block.
#[derive(Clone, Copy, Debug)]
pub struct BlockBackward<'a> {
    /// The block's weights.
    pub weights: &'a BlockParams<&'a [f32]>,
    /// Its matrices once more.
    pub transposed: &'a TransposedWeights,
    /// Its sizes.
    pub shape: &'a BlockShape,
    /// The block's input, \[N, D\].
    pub x: &'a [f32],
    /// Activations that [`forward`] saved.
    pub saved: &'a SavedActivations,
    /// Lengths of the sequences.
    pub lengths: &'a [usize],
}

/// Turns `dx` from the gradient of the block's output into that of its input, and puts the
/// weights' gradients into `gradient_buffers`, or adds them there if `accumulate`.
pub fn backward(
    passed: &BlockBackward<'_>,
    dx: &mut [f32],
    gradients: &mut BlockParams<PooledBuffer>,
    accumulate: bool,
) {
    backward_mlp(passed, dx, gradients, accumulate);
    backward_attention(passed, dx, gradients, accumulate);
}

fn backward_mlp(
    passed: &BlockBackward<'_>,
    dx: &mut [f32],
    gradients: &mut BlockParams<PooledBuffer>,
    accumulate: bool,
) {
    let BlockBackward {
        weights,
        transposed: turned,
        shape: BlockShape { width, hidden, .. },
        saved: kept,
        ..
    } = *passed;
    let rows = dx.len() / width;
    let (mut gated, mut dgated) = (
        PooledBuffer::acquire(rows * hidden),
        PooledBuffer::acquire(rows * hidden),
    );
    let mut dgate_up = PooledBuffer::acquire(rows * 2 * hidden);
    matmul(
        [rows, *width, *hidden],
        dx,
        &turned.down,
        &mut dgated,
        false,
    );
    swiglu::backward(&kept.gate_up, *hidden, &dgated, &mut gated, &mut dgate_up);
    matmul_transposed(
        [rows, *hidden, *width],
        &gated,
        dx,
        &mut gradients.down,
        accumulate,
    );
    let (mut normed, mut dnormed) = (
        PooledBuffer::acquire(dx.len()),
        PooledBuffer::acquire(dx.len()),
    );
    rms_norm::recompute(
        &kept.middle,
        weights.mlp_norm,
        &kept.inverse_middle,
        &mut normed,
    );
    matmul_transposed(
        [rows, *width, 2 * hidden],
        &normed,
        &dgate_up,
        &mut gradients.gate_up,
        accumulate,
    );
    matmul(
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
    passed: &BlockBackward<'_>,
    dx: &mut [f32],
    gradients: &mut BlockParams<PooledBuffer>,
    accumulate: bool,
) {
    let BlockBackward {
        weights,
        transposed: turned,
        shape:
            BlockShape {
                heads,
                width,
                rotary,
                ..
            },
        x,
        saved: kept,
        lengths,
    } = *passed;
    let rows = dx.len() / width;
    let mut dmixed = PooledBuffer::acquire(kept.mixed.len());
    matmul_transposed(
        [rows, heads.query_width(), *width],
        &kept.mixed,
        dx,
        &mut gradients.output,
        accumulate,
    );
    matmul(
        [rows, *width, heads.query_width()],
        dx,
        &turned.output,
        &mut dmixed,
        false,
    );
    let mut dpacked = PooledBuffer::acquire(kept.rotated.len());
    attention::backward(
        &kept.rotated,
        &kept.probabilities,
        heads,
        lengths,
        &dmixed,
        &mut dpacked,
    );
    attention::rotate(&mut dpacked, heads, lengths, rotary, true);
    let (mut normed, mut dnormed) = (
        PooledBuffer::acquire(dx.len()),
        PooledBuffer::acquire(dx.len()),
    );
    rms_norm::recompute(x, weights.attention_norm, &kept.inverse_input, &mut normed);
    matmul_transposed(
        [rows, *width, heads.qkv_width()],
        &normed,
        &dpacked,
        &mut gradients.qkv,
        accumulate,
    );
    matmul(
        [rows, heads.qkv_width(), *width],
        &dpacked,
        &turned.qkv,
        &mut dnormed,
        false,
    );
    let (inverse, dgain) = (&kept.inverse_input, &mut gradients.attention_norm);
    rms_norm::backward(x, weights.attention_norm, inverse, &dnormed, dx, dgain);
}

/// `y = x W`, or `y += x W`: x \[N, I\], W \[I, O\], y \[N, O\].
fn matmul(
    [rows, inputs, outputs]: [usize; 3],
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    accumulate: bool,
) {
    let (x, w) = (
        MatrixView::row_major(x, inputs),
        MatrixView::row_major(w, outputs),
    );
    gemm([rows, outputs, inputs], y, outputs, x, w, 1.0, accumulate);
}

/// `dW = x^T dy`, or `dW += x^T dy`: x \[N, I\], dy \[N, O\], dW \[I, O\].
fn matmul_transposed(
    [rows, inputs, outputs]: [usize; 3],
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: bool,
) {
    let (x, dy) = (
        MatrixView::transposed(x, inputs),
        MatrixView::row_major(dy, outputs),
    );
    gemm([inputs, outputs, rows], dw, outputs, x, dy, 1.0, accumulate);
}
