//! Sampling on the device: prompts enter in waves, take one step together, and leave when they end.
//!
//! Tokens come to the host once a step; every sequence draws with its own random numbers. A
//! prompt's samples share its prefill.

use std::collections::VecDeque;
use std::ops::Range;

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, FloatDType, Int, Tensor};

use super::attention::{MASKED_SCORE, PaddedAttention, rotate};
use super::int_tensor;
use super::kv_cache::BatchKvCache;
use super::padded_layout::PaddedLayout;
use super::sample_tokens::sample_tokens;
use crate::domain::{SamplingConfig, Seed};
use crate::model::generate::TokenCallback;
use crate::model::{Decoder, GenerationPrompt};

/// Sequences that are written together at most.
pub const MAX_ROWS: usize = 256;

/// Tokens of prompts that enter together, about: what attention makes of them grows with their
/// number times their length.
pub const MAX_PREFILL_TOKENS: usize = 8192;

/// One sample that is being written.
struct DecodeRow {
    prompt: usize,
    sample: usize,
    seed: Seed,
    tokens: Vec<u32>,
}

/// A prompt with those of its samples that enter together.
struct PendingPrompt {
    prompt: usize,
    samples: Range<usize>,
}

/// Samples that take their steps together.
struct DecodeBatch {
    rows: Vec<DecodeRow>,
    cache: BatchKvCache,
}

struct PortableGeneration<'a> {
    decoder: &'a Decoder,
    prompts: &'a [GenerationPrompt],
    sampling: &'a SamplingConfig,
    stop_tokens: &'a [u32],
    on_token: TokenCallback<'a>,
    /// Samples that are written together at most.
    max_rows: usize,
    /// Tokens of prompts that enter together, about.
    max_prefill_tokens: usize,
}

/// As [`crate::model::generate_streaming`], on the device.
pub fn generate(
    decoder: &Decoder,
    prompts: &[GenerationPrompt],
    sampling: &SamplingConfig,
    stops: &[u32],
    heard: TokenCallback<'_>,
) -> Vec<Vec<Vec<u32>>> {
    let [most, prefilled] = decoder.batch_limits(prompts, sampling.max_tokens);
    let work = PortableGeneration {
        decoder,
        prompts,
        sampling,
        stop_tokens: stops,
        on_token: heard,
        max_rows: most,
        max_prefill_tokens: prefilled,
    };
    work.run()
}

impl DecodeBatch {
    fn merge(mut self, other: Self) -> Self {
        self.rows.extend(other.rows);
        self.cache.append(other.cache);
        self
    }
}

impl PortableGeneration<'_> {
    /// Writes every sample of every prompt.
    fn run(&self) -> Vec<Vec<Vec<u32>>> {
        let mut done: Vec<Vec<Vec<u32>>> = self
            .prompts
            .iter()
            .map(|p| vec![Vec::new(); p.seeds.len()])
            .collect();
        let mut waiting = self.queue();
        let mut wave: Option<DecodeBatch> = None;
        loop {
            let running = wave.as_ref().map_or(0, |wave| wave.rows.len());
            if !waiting.is_empty() && running <= self.max_rows / 2 {
                let entering = self.admit(&mut waiting, self.max_rows - running);
                wave = Some(match wave {
                    Some(wave) => wave.merge(entering),
                    None => entering,
                });
            }
            let Some(mut going) = wave.take() else {
                return done;
            };
            self.collect_finished(&mut going, &mut done);
            if !going.rows.is_empty() {
                self.step(&mut going);
                wave = Some(going);
            } else if waiting.is_empty() {
                return done;
            }
        }
    }

    /// Queues all prompts that have samples.
    fn queue(&self) -> VecDeque<PendingPrompt> {
        // Long prompts first: a wave's prompts are of similar length, and the last waves are short.
        let mut order: Vec<usize> = (0..self.prompts.len())
            .filter(|&i| !self.prompts[i].seeds.is_empty())
            .collect();
        order.sort_by_key(|&prompt| std::cmp::Reverse(self.prompts[prompt].tokens.len()));
        order
            .into_iter()
            .flat_map(|prompt| self.split_prompt(prompt))
            .collect()
    }

    /// A prompt in as many parts as its samples have to be written in.
    fn split_prompt(&self, prompt: usize) -> Vec<PendingPrompt> {
        let (most, count) = (self.max_rows, self.prompts[prompt].seeds.len());
        (0..count)
            .step_by(most)
            .map(|from| PendingPrompt {
                prompt,
                samples: from..count.min(from + most),
            })
            .collect()
    }

    /// The next prompts with at most `places` samples and not too many tokens, and at least one
    /// prompt, after their first token.
    fn admit(&self, waiting: &mut VecDeque<PendingPrompt>, places: usize) -> DecodeBatch {
        let (mut entering, mut samples) = (Vec::new(), 0);
        let mut tokens = 0;
        while let Some(next) = waiting.front() {
            samples += next.samples.len();
            tokens += self.prompts[next.prompt].tokens.len();
            if (samples > places || tokens > self.max_prefill_tokens) && !entering.is_empty() {
                break;
            }
            entering.extend(waiting.pop_front());
        }
        let prompts: Vec<&[u32]> = entering
            .iter()
            .map(|one| self.prompts[one.prompt].tokens.as_slice())
            .collect();
        let (logits, mut cache) = self.decoder.prefill(&prompts);
        let mut rows = Vec::new();
        let mut places = Vec::new();
        for (place, PendingPrompt { prompt, samples }) in entering.into_iter().enumerate() {
            for sample in samples {
                let seed = self.prompts[prompt].seeds[sample];
                rows.push(DecodeRow {
                    prompt,
                    sample,
                    seed,
                    tokens: Vec::new(),
                });
                places.push(place);
            }
        }
        cache.select(&places);
        let chosen = int_tensor(places, &self.decoder.device());
        self.sample_next(&mut rows, logits.select(0, chosen));
        DecodeBatch { rows, cache }
    }

    /// Hands over the samples that have ended.
    fn collect_finished(&self, wave: &mut DecodeBatch, done: &mut [Vec<Vec<u32>>]) {
        let going: Vec<usize> = (0..wave.rows.len())
            .filter(|&row| !self.has_ended(&wave.rows[row]))
            .collect();
        if going.len() == wave.rows.len() {
            return;
        }
        for row in wave.rows.extract_if(.., |row| self.has_ended(row)) {
            done[row.prompt][row.sample] = row.tokens;
        }
        if !going.is_empty() {
            wave.cache.select(&going);
        }
    }

    fn has_ended(&self, row: &DecodeRow) -> bool {
        let last = row.tokens.last();
        row.tokens.len() >= self.sampling.max_tokens
            || last.is_some_and(|last| self.stop_tokens.contains(last))
    }

    fn step(&self, wave: &mut DecodeBatch) {
        let lasts: Vec<u32> = wave
            .rows
            .iter()
            .map(|row| row.tokens[row.tokens.len() - 1])
            .collect();
        let logits = self.decoder.decode_step(&lasts, &mut wave.cache);
        self.sample_next(&mut wave.rows, logits);
    }

    /// Writes the next token of each row.
    fn sample_next(&self, rows: &mut [DecodeRow], logits: Tensor<2>) {
        let drawn: Vec<(Seed, usize)> = rows
            .iter()
            .map(|row| (row.seed, row.tokens.len()))
            .collect();
        let tokens = sample_tokens(logits, self.sampling, &drawn, &self.decoder.threads);
        for (row, token) in rows.iter_mut().zip(tokens) {
            (self.on_token)(row.prompt, token);
            row.tokens.push(token);
        }
    }
}

/// The number of sequences to generate at a time, so that their caches fit `room` bytes.
pub fn max_rows_within(room: usize, cache: usize) -> usize {
    (room / cache.max(1)).clamp(1, MAX_ROWS)
}

impl Decoder {
    /// Samples that are written together, so that their caches have room, and tokens of prompts that
    /// enter together.
    fn batch_limits(&self, prompts: &[GenerationPrompt], answer: usize) -> [usize; 2] {
        let longest = prompts
            .iter()
            .map(|prompt| prompt.tokens.len())
            .max()
            .unwrap_or(0);
        let values = 2 * self.config.key_width() * (longest + answer);
        let most = max_rows_within(
            self.activation_budget,
            self.config.layers * values * self.precision.bytes(),
        );
        if !self.half_batch {
            return [most, MAX_PREFILL_TOKENS];
        }
        let samples: usize = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
        let tokens: usize = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        [most.min(samples), MAX_PREFILL_TOKENS.min(tokens)].map(|whole| (whole / 2).max(1))
    }

    /// Takes in whole prompts; the logits of their last tokens, \[prompts, V\], and what is
    /// remembered of them.
    fn prefill(&self, prompts: &[&[u32]]) -> (Tensor<2>, BatchKvCache) {
        let tokens: Vec<u32> = prompts.concat();
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let device = self.device();
        let layout = PaddedLayout::new(
            &lengths,
            self.config.window,
            self.precision.float_dtype(),
            &device,
        );
        let attention = PaddedAttention {
            heads: &self.shape.heads,
            rotary_tables: self.rotary_tables(),
            layout: &layout,
        };
        let weights = self.device_weights();
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end - 1)
        });
        let ends = int_tensor(ends, &device);
        let columns = int_tensor(right_aligned_rows(&lengths), &device);
        let mut x = self.embed_tokens(&tokens);
        let mut layers = Vec::with_capacity(weights.blocks.len());
        for (number, block) in weights.blocks.iter().enumerate() {
            x = self
                .layer(number, block)
                .forward_without_saving(&x, |packed| {
                    layers.push(self.rotated_keys_values(packed, &lengths, &columns));
                    attention.forward(packed).0
                });
        }
        let logits = self.device_logits(&x.select(0, ends));
        (logits, BatchKvCache::new(layers, &lengths))
    }

    /// Rotated keys and values of ragged rows, \[R, K, T, S\] each, every sequence ending in the
    /// last column.
    fn rotated_keys_values(
        &self,
        packed: &Tensor<2>,
        lengths: &[usize],
        columns: &Tensor<1, Int>,
    ) -> [Tensor<4>; 2] {
        let heads = &self.shape.heads;
        let (rows, longest) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        let (from, width) = (
            heads.query_heads * heads.head_size,
            heads.kv_heads * heads.head_size,
        );
        let count: usize = lengths.iter().sum();
        let positions = int_tensor(
            lengths.iter().flat_map(|&length| 0..length),
            &packed.device(),
        );
        let angles = self.rotary_rows(&positions);
        let (keys, values) = (from..from + width, from + width..from + 2 * width);
        let keys = rotate(
            packed
                .clone()
                .slice_dim(1, keys)
                .reshape([count, 1, heads.kv_heads, heads.head_size]),
            angles,
            false,
        );
        let keys_values = [
            keys.reshape([count, width]),
            packed.clone().slice_dim(1, values),
        ];
        keys_values.map(|rows_of_all| {
            let spread = rows_of_all.select(0, columns.clone());
            spread
                .reshape([rows, longest, heads.kv_heads, heads.head_size])
                .swap_dims(1, 2)
        })
    }

    /// Looks up the cosines and sines of these positions, \[positions, 1, 1, S / 2\] each.
    fn rotary_rows(&self, positions: &Tensor<1, Int>) -> [Tensor<4>; 2] {
        let (count, half) = (positions.dims()[0], self.shape.heads.head_size / 2);
        self.rotary_tables().clone().map(|table| {
            table
                .select(0, positions.clone())
                .reshape([count, 1, 1, half])
        })
    }

    /// Takes in one token of each sequence; the logits, \[R, V\].
    fn decode_step(&self, tokens: &[u32], cache: &mut BatchKvCache) -> Tensor<2> {
        cache.reserve();
        let angles = self.rotary_rows(&int_tensor(cache.positions(), &self.device()));
        let empty = cache.hidden_mask(&self.shape.heads, self.config.window);
        let weights = self.device_weights();
        let mut x = self.embed_tokens(tokens);
        for (number, block) in weights.blocks.iter().enumerate() {
            x = self
                .layer(number, block)
                .forward_without_saving(&x, |packed| {
                    self.attend_next(packed, cache, &angles, &empty)
                });
        }
        cache.filled += 1;
        self.device_logits(&x)
    }

    /// Writes the new token's keys and values and mixes what it sees, \[R, (H + 2 K) S\] to \[R, H S\];
    /// `empty` masks what it does not see.
    fn attend_next(
        &self,
        packed: &Tensor<2>,
        cache: &mut BatchKvCache,
        angles: &[Tensor<4>; 2],
        empty: &Tensor<4, Bool>,
    ) -> Tensor<2> {
        let heads = &self.shape.heads;
        let (h, k, size) = (heads.query_heads, heads.kv_heads, heads.head_size);
        let rows = packed.dims()[0];
        let scale = (size as f64).sqrt().recip();
        let all = packed.clone().reshape([rows, h + 2 * k, 1, size]);
        let turned = rotate(all.clone().slice_dim(1, 0..h + k), angles.clone(), false);
        let queries = turned
            .clone()
            .slice_dim(1, 0..h)
            .reshape([rows, k, h / k, size])
            * scale;
        let next = [
            turned.slice_dim(1, h..h + k),
            all.slice_dim(1, h + k..h + 2 * k),
        ];
        let [keys, values] = cache.write(next);
        let scores = queries.matmul(keys.swap_dims(2, 3)).cast(FloatDType::F32);
        let precision = self.precision.float_dtype();
        let p = softmax(scores.mask_fill(empty.clone(), MASKED_SCORE), 3).cast(precision);
        p.matmul(values).reshape([rows, h * size])
    }

    /// Logits of rows \[R, D\], \[R, V\], in 32 bits.
    fn device_logits(&self, x: &Tensor<2>) -> Tensor<2> {
        self.portable_head(self.device_weights())
            .logits(x)
            .cast(FloatDType::F32)
    }
}

/// The ragged row of every place of squares in which all sequences end in the last column; what
/// is before a sequence is of no use.
fn right_aligned_rows(lengths: &[usize]) -> Vec<usize> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut places = Vec::with_capacity(longest * lengths.len());
    let mut start = 0;
    for &length in lengths {
        places.extend((0..longest).map(|column| start + (column + length).saturating_sub(longest)));
        start += length;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::decoder;

    #[test]
    fn half_is_half_of_what_would_be_there_together() {
        let prompts = |count: usize, samples: usize| -> Vec<GenerationPrompt> {
            let prompt = GenerationPrompt {
                tokens: vec![0; 10],
                seeds: vec![Seed(0); samples],
            };
            (0..count).map(|_| prompt.clone()).collect()
        };
        let mut decoder = decoder();
        // 2 layers, keys and values of 16 numbers of 4 bytes, 20 columns: 5120 bytes a row.
        for (room, count, samples, whole, half) in [
            (usize::MAX, 6, 2, [MAX_ROWS, MAX_PREFILL_TOKENS], [6, 30]),
            (
                usize::MAX,
                1000,
                1,
                [MAX_ROWS, MAX_PREFILL_TOKENS],
                [MAX_ROWS / 2, MAX_PREFILL_TOKENS / 2],
            ),
            (8 * 5120, 6, 2, [8, MAX_PREFILL_TOKENS], [4, 30]),
            (0, 1, 1, [1, MAX_PREFILL_TOKENS], [1, 5]),
        ] {
            (decoder.activation_budget, decoder.half_batch) = (room, false);
            let prompts = prompts(count, samples);
            assert_eq!(decoder.batch_limits(&prompts, 10), whole, "{room} {count}");
            decoder.half_batch = true;
            assert_eq!(decoder.batch_limits(&prompts, 10), half, "{room} {count}");
        }
    }
}
