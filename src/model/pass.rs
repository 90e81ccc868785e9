//! One pass of new rows through all blocks, on slices.
//!
//! Responsible for the order of operations and for leaving out what nobody will read: behind the
//! last layer's keys and values, only the rows whose logits are wanted go on. Hides its buffers.

use super::Decoder;
use super::decode::{Segment, State};
use super::host::{Host, HostBlock};
use super::ops::cached_attention::{Call, Scratch, attend};
use super::ops::rows::product;
use super::ops::{rms_norm, swiglu};

/// What every pass of a call shares.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub decoder: &'a Decoder,
    pub host: &'a Host,
    /// New tokens of every sequence.
    pub news: &'a [&'a [u32]],
}

/// Activations; they grow to the largest pass and are never cleared.
#[derive(Debug, Default)]
pub struct Buffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    packed: Vec<f32>,
    mixed: Vec<f32>,
    hidden: Vec<f32>,
    gated: Vec<f32>,
    inverse: Vec<f32>,
    attention: Scratch,
}

impl Pass<'_> {
    /// Takes in the segments' tokens, and writes the logits of those that end, \[ended, V\] in
    /// order, to the front of `logits`, which has room for at least two rows.
    pub fn run(
        &self,
        segments: &[Segment],
        states: &mut [&mut State],
        buffers: &mut Buffers,
        logits: &mut [f32],
    ) {
        let mut rows = self.embed(segments, buffers);
        let layers = self.host.blocks.len();
        for (layer, block) in self.host.blocks.iter().enumerate() {
            let last = layer + 1 == layers;
            self.attend(layer, last, rows, segments, states, buffers);
            if last {
                rows = keep_ends(segments, self.decoder.config.width, &mut buffers.x);
                if rows == 0 {
                    return;
                }
            }
            self.add_mixed(block, rows, buffers);
            self.feed_forward(block, rows, buffers);
        }
        self.head(rows, buffers, logits);
    }

    /// Writes the tokens' embeddings to `x`, and returns how many rows there are: at least two.
    fn embed(&self, segments: &[Segment], buffers: &mut Buffers) -> usize {
        let (width, embedding) = (self.decoder.config.width, self.host.embedding.get());
        buffers.x.clear();
        for segment in segments {
            for &token in &self.news[segment.sequence][segment.tokens.clone()] {
                buffers
                    .x
                    .extend_from_slice(&embedding[token as usize * width..][..width]);
            }
        }
        at_least_two(width, &mut buffers.x)
    }

    /// Attention of every row, or of those that end only, to `mixed`; all keys and values are stored.
    fn attend(
        &self,
        layer: usize,
        last: bool,
        rows: usize,
        segments: &[Segment],
        states: &mut [&mut State],
        buffers: &mut Buffers,
    ) {
        let (decoder, block) = (self.decoder, &self.host.blocks[layer]);
        let (stride, width) = (decoder.shape.heads.packed(), decoder.shape.heads.width());
        self.normalise(block.attention_norm.get(), rows, buffers);
        let packed = grown(&mut buffers.packed, rows * stride);
        product(
            [rows, stride, decoder.config.width],
            packed,
            &buffers.normed,
            block.packed.get(),
            false,
        );
        let call = Call {
            heads: &decoder.shape.heads,
            rotary: &decoder.shape.rotary,
            layer,
        };
        let (mut packed, mut mixed) = (packed, grown(&mut buffers.mixed, rows * width));
        for segment in segments {
            let count = segment.tokens.len();
            let from = if last {
                count - usize::from(segment.ends)
            } else {
                0
            };
            let (mine, others) = packed.split_at_mut(count * stride);
            let (y, rest) = mixed.split_at_mut((count - from) * width);
            attend(
                call,
                &mut states[segment.sequence].0,
                mine,
                from,
                &mut buffers.attention,
                y,
            );
            (packed, mixed) = (others, rest);
        }
    }

    fn add_mixed(&self, block: &HostBlock, rows: usize, buffers: &mut Buffers) {
        let sizes = [
            rows,
            self.decoder.config.width,
            self.decoder.shape.heads.width(),
        ];
        product(
            sizes,
            &mut buffers.x,
            &buffers.mixed,
            block.output.get(),
            true,
        );
    }

    fn feed_forward(&self, block: &HostBlock, rows: usize, buffers: &mut Buffers) {
        let (width, hidden) = (self.decoder.config.width, self.decoder.config.hidden);
        self.normalise(block.mlp_norm.get(), rows, buffers);
        let packed = grown(&mut buffers.hidden, rows * 2 * hidden);
        product(
            [rows, 2 * hidden, width],
            packed,
            &buffers.normed,
            block.gate_up.get(),
            false,
        );
        let gated = grown(&mut buffers.gated, rows * hidden);
        swiglu::forward(packed, hidden, gated);
        product(
            [rows, width, hidden],
            &mut buffers.x,
            gated,
            block.down.get(),
            true,
        );
    }

    fn head(&self, rows: usize, buffers: &mut Buffers, logits: &mut [f32]) {
        self.normalise(self.host.norm.get(), rows, buffers);
        let sizes = [rows, self.decoder.vocabulary(), self.decoder.config.width];
        product(sizes, logits, &buffers.normed, self.host.head.get(), false);
    }

    fn normalise(&self, gain: &[f32], rows: usize, buffers: &mut Buffers) {
        let length = rows * self.decoder.config.width;
        let (y, inverse) = (
            grown(&mut buffers.normed, length),
            grown(&mut buffers.inverse, rows),
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
fn keep_ends(segments: &[Segment], width: usize, x: &mut Vec<f32>) -> usize {
    let (mut row, mut kept) = (0, 0);
    for segment in segments {
        row += segment.tokens.len();
        if segment.ends {
            x.copy_within((row - 1) * width..row * width, kept * width);
            kept += 1;
        }
    }
    x.truncate(kept * width);
    if kept == 0 { 0 } else { at_least_two(width, x) }
}

/// Repeats a row that stands alone: the matrix kernels would add it up in another order.
fn at_least_two(width: usize, x: &mut Vec<f32>) -> usize {
    if x.len() == width {
        x.extend_from_within(..);
    }
    x.len() / width
}

/// The first `length` values of a buffer that grows if it must.
fn grown(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
