//! One pass of new rows through all blocks, on slices.
//!
//! Behind the last layer's keys and values, it computes only the rows whose logits are wanted.

use super::Decoder;
use super::cpu::block::BlockParams;
use super::cpu::cached_attention::{AttentionScratch, CachedAttention, attend};
use super::cpu::kv_cache::KvCache;
use super::cpu::row_matmul::matmul_rows;
use super::cpu::{rms_norm, swiglu};
use super::decode::TokenRange;
use super::host_weights::{HostTensor, HostWeights};

/// The inputs that all passes of a call share.
#[derive(Clone, Copy)]
pub struct CachedForward<'a> {
    pub decoder: &'a Decoder,
    pub host: &'a HostWeights,
    /// New tokens of every sequence.
    pub new_tokens: &'a [&'a [u32]],
}

/// Activations; they grow to the largest pass and are never cleared.
#[derive(Debug, Default)]
pub struct ForwardBuffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    packed: Vec<f32>,
    mixed: Vec<f32>,
    hidden: Vec<f32>,
    gated: Vec<f32>,
    inverse: Vec<f32>,
    attention: AttentionScratch,
}

impl CachedForward<'_> {
    /// Takes in the segments' tokens, and writes the logits of those that end, \[ended, V\] in
    /// order, to the front of `logits`, which has room for at least two rows.
    pub fn run(
        &self,
        segments: &[TokenRange],
        states: &mut [&mut KvCache],
        buffers: &mut ForwardBuffers,
        logits: &mut [f32],
    ) {
        let mut rows = self.embed(segments, buffers);
        let layers = self.host.blocks.len();
        for (layer, block) in self.host.blocks.iter().enumerate() {
            let last = layer + 1 == layers;
            self.attend(layer, last, rows, segments, states, buffers);
            if last {
                rows = keep_last_rows(segments, self.decoder.config.width, &mut buffers.x);
                if rows == 0 {
                    return;
                }
            }
            self.add_attention_output(block, rows, buffers);
            self.feed_forward(block, rows, buffers);
        }
        self.head(rows, buffers, logits);
    }

    /// Writes the tokens' embeddings to `x`, and returns how many rows there are: at least two.
    fn embed(&self, segments: &[TokenRange], buffers: &mut ForwardBuffers) -> usize {
        let (width, embedding) = (self.decoder.config.width, self.host.embedding.as_slice());
        buffers.x.clear();
        for segment in segments {
            for &token in &self.new_tokens[segment.sequence][segment.tokens.clone()] {
                buffers
                    .x
                    .extend_from_slice(&embedding[token as usize * width..][..width]);
            }
        }
        pad_to_two_rows(width, &mut buffers.x)
    }

    /// Attention of every row, or of those that end only, to `mixed`; all keys and values are stored.
    fn attend(
        &self,
        layer: usize,
        last: bool,
        rows: usize,
        segments: &[TokenRange],
        states: &mut [&mut KvCache],
        buffers: &mut ForwardBuffers,
    ) {
        let (decoder, block) = (self.decoder, &self.host.blocks[layer]);
        let (stride, width) = (
            decoder.shape.heads.qkv_width(),
            decoder.shape.heads.query_width(),
        );
        self.apply_rms_norm(block.attention_norm.as_slice(), rows, buffers);
        let packed = ensure_length(&mut buffers.packed, rows * stride);
        matmul_rows(
            [rows, stride, decoder.config.width],
            packed,
            &buffers.normed,
            block.qkv.as_slice(),
            false,
        );
        let call = CachedAttention {
            heads: &decoder.shape.heads,
            rotary: &decoder.shape.rotary,
            layer,
        };
        let (mut packed, mut mixed) = (packed, ensure_length(&mut buffers.mixed, rows * width));
        for segment in segments {
            let count = segment.tokens.len();
            let from = if last {
                count - usize::from(segment.needs_logits)
            } else {
                0
            };
            let (mine, others) = packed.split_at_mut(count * stride);
            let (y, rest) = mixed.split_at_mut((count - from) * width);
            attend(
                call,
                states[segment.sequence],
                mine,
                from,
                &mut buffers.attention,
                y,
            );
            (packed, mixed) = (others, rest);
        }
    }

    fn add_attention_output(
        &self,
        block: &BlockParams<HostTensor>,
        rows: usize,
        buffers: &mut ForwardBuffers,
    ) {
        let sizes = [
            rows,
            self.decoder.config.width,
            self.decoder.shape.heads.query_width(),
        ];
        matmul_rows(
            sizes,
            &mut buffers.x,
            &buffers.mixed,
            block.output.as_slice(),
            true,
        );
    }

    fn feed_forward(
        &self,
        block: &BlockParams<HostTensor>,
        rows: usize,
        buffers: &mut ForwardBuffers,
    ) {
        let (width, hidden) = (self.decoder.config.width, self.decoder.config.hidden);
        self.apply_rms_norm(block.mlp_norm.as_slice(), rows, buffers);
        let packed = ensure_length(&mut buffers.hidden, rows * 2 * hidden);
        matmul_rows(
            [rows, 2 * hidden, width],
            packed,
            &buffers.normed,
            block.gate_up.as_slice(),
            false,
        );
        let gated = ensure_length(&mut buffers.gated, rows * hidden);
        swiglu::forward(packed, hidden, gated);
        matmul_rows(
            [rows, width, hidden],
            &mut buffers.x,
            gated,
            block.down.as_slice(),
            true,
        );
    }

    fn head(&self, rows: usize, buffers: &mut ForwardBuffers, logits: &mut [f32]) {
        self.apply_rms_norm(self.host.norm.as_slice(), rows, buffers);
        let sizes = [
            rows,
            self.decoder.vocabulary_size(),
            self.decoder.config.width,
        ];
        matmul_rows(
            sizes,
            logits,
            &buffers.normed,
            self.host.head.as_slice(),
            false,
        );
    }

    fn apply_rms_norm(&self, gain: &[f32], rows: usize, buffers: &mut ForwardBuffers) {
        let length = rows * self.decoder.config.width;
        let (y, inverse) = (
            ensure_length(&mut buffers.normed, length),
            ensure_length(&mut buffers.inverse, rows),
        );
        rms_norm::forward(
            &buffers.x[..length],
            gain,
            self.decoder.shape.epsilon,
            y,
            inverse,
        );
    }
}

/// Moves the last rows of the segments that end to the front of `x`, and returns their number: at
/// least two, or none.
fn keep_last_rows(segments: &[TokenRange], width: usize, x: &mut Vec<f32>) -> usize {
    let (mut row, mut kept) = (0, 0);
    for segment in segments {
        row += segment.tokens.len();
        if segment.needs_logits {
            x.copy_within((row - 1) * width..row * width, kept * width);
            kept += 1;
        }
    }
    x.truncate(kept * width);
    if kept == 0 {
        0
    } else {
        pad_to_two_rows(width, x)
    }
}

/// Repeats a single row, because the matrix kernels sum a single row in another order.
fn pad_to_two_rows(width: usize, x: &mut Vec<f32>) -> usize {
    if x.len() == width {
        x.extend_from_within(..);
    }
    x.len() / width
}

/// The first `length` values of a buffer that grows if it must.
fn ensure_length(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
