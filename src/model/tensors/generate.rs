//! Sampling on the device: prompts enter in waves, take one step together, and leave when they end.
//!
//! Tokens come to the host once a step; every sequence draws with its own random numbers. A
//! prompt's samples share its prefill.

use std::collections::VecDeque;
use std::ops::Range;

use burn::tensor::activation::softmax;
use burn::tensor::{FloatDType, Tensor};

use super::attention::{Attention, NEVER, rotate};
use super::cache::Cache;
use super::draw::draw;
use super::integers;
use super::layout::Layout;
use crate::domain::{Sampling, Seed};
use crate::model::generate::Heard;
use crate::model::{Decoder, Prompted};

/// Sequences that are written together at most.
pub const ROWS: usize = 256;

/// Tokens of prompts that enter together, about: what attention makes of them grows with their
/// number times their length.
pub const PREFILLED: usize = 8192;

/// One sample that is being written.
struct Row {
    prompt: usize,
    sample: usize,
    seed: Seed,
    written: Vec<u32>,
}

/// A prompt with those of its samples that enter together.
struct Entrant {
    prompt: usize,
    samples: Range<usize>,
}

/// Samples that take their steps together.
struct Wave {
    rows: Vec<Row>,
    cache: Cache,
}

struct Work<'a> {
    decoder: &'a Decoder,
    prompts: &'a [Prompted],
    sampling: &'a Sampling,
    stops: &'a [u32],
    heard: Heard<'a>,
    /// Samples that are written together at most.
    most: usize,
    /// Tokens of prompts that enter together, about.
    prefilled: usize,
}

/// As [`crate::model::generate_aloud`], on the device.
pub fn generate(
    decoder: &Decoder,
    prompts: &[Prompted],
    sampling: &Sampling,
    stops: &[u32],
    heard: Heard<'_>,
) -> Vec<Vec<Vec<u32>>> {
    let [most, prefilled] = decoder.at_a_time(prompts, sampling.max_tokens);
    let work = Work {
        decoder,
        prompts,
        sampling,
        stops,
        heard,
        most,
        prefilled,
    };
    let mut done: Vec<Vec<Vec<u32>>> = prompts
        .iter()
        .map(|p| vec![Vec::new(); p.seeds.len()])
        .collect();
    // Long prompts first: a wave's prompts are of similar length, and the last waves are short.
    let mut order: Vec<usize> = (0..prompts.len())
        .filter(|&i| !prompts[i].seeds.is_empty())
        .collect();
    order.sort_by_key(|&prompt| std::cmp::Reverse(prompts[prompt].tokens.len()));
    let mut waiting: VecDeque<Entrant> = order
        .into_iter()
        .flat_map(|prompt| work.cut(prompt))
        .collect();
    let mut wave: Option<Wave> = None;
    loop {
        let running = wave.as_ref().map_or(0, |wave| wave.rows.len());
        if !waiting.is_empty() && running <= most / 2 {
            let entering = work.enter(&mut waiting, most - running);
            wave = Some(match wave {
                Some(wave) => wave.joined(entering),
                None => entering,
            });
        }
        let Some(mut going) = wave.take() else {
            return done;
        };
        work.leave(&mut going, &mut done);
        if !going.rows.is_empty() {
            work.step(&mut going);
            wave = Some(going);
        } else if waiting.is_empty() {
            return done;
        }
    }
}

impl Wave {
    fn joined(mut self, other: Self) -> Self {
        self.rows.extend(other.rows);
        self.cache.join(other.cache);
        self
    }
}

impl Work<'_> {
    /// A prompt in as many parts as its samples have to be written in.
    fn cut(&self, prompt: usize) -> Vec<Entrant> {
        let (most, count) = (self.most, self.prompts[prompt].seeds.len());
        let part = |from: usize| Entrant {
            prompt,
            samples: from..count.min(from + most),
        };
        (0..count).step_by(most).map(part).collect()
    }

    /// The next prompts with at most `places` samples and not too many tokens, and at least one
    /// prompt, after their first token.
    fn enter(&self, waiting: &mut VecDeque<Entrant>, places: usize) -> Wave {
        let (mut entering, mut samples) = (Vec::new(), 0);
        let mut tokens = 0;
        while let Some(next) = waiting.front() {
            samples += next.samples.len();
            tokens += self.prompts[next.prompt].tokens.len();
            if (samples > places || tokens > self.prefilled) && !entering.is_empty() {
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
        for (place, Entrant { prompt, samples }) in entering.into_iter().enumerate() {
            for sample in samples {
                let seed = self.prompts[prompt].seeds[sample];
                rows.push(Row {
                    prompt,
                    sample,
                    seed,
                    written: Vec::new(),
                });
                places.push(place);
            }
        }
        cache.keep(&places);
        let chosen = integers(places, &self.decoder.device());
        self.draw(&mut rows, logits.select(0, chosen));
        Wave { rows, cache }
    }

    /// Hands over the samples that have ended.
    fn leave(&self, wave: &mut Wave, done: &mut [Vec<Vec<u32>>]) {
        let going: Vec<usize> = (0..wave.rows.len())
            .filter(|&row| !self.has_ended(&wave.rows[row]))
            .collect();
        if going.len() == wave.rows.len() {
            return;
        }
        for row in wave.rows.extract_if(.., |row| self.has_ended(row)) {
            done[row.prompt][row.sample] = row.written;
        }
        if !going.is_empty() {
            wave.cache.keep(&going);
        }
    }

    fn has_ended(&self, row: &Row) -> bool {
        let last = row.written.last();
        row.written.len() >= self.sampling.max_tokens
            || last.is_some_and(|last| self.stops.contains(last))
    }

    fn step(&self, wave: &mut Wave) {
        let lasts: Vec<u32> = wave
            .rows
            .iter()
            .map(|row| row.written[row.written.len() - 1])
            .collect();
        let logits = self.decoder.advance_all(&lasts, &mut wave.cache);
        self.draw(&mut wave.rows, logits);
    }

    /// Writes the next token of each row.
    fn draw(&self, rows: &mut [Row], logits: Tensor<2>) {
        let drawn: Vec<(Seed, usize)> = rows
            .iter()
            .map(|row| (row.seed, row.written.len()))
            .collect();
        let tokens = draw(logits, self.sampling, &drawn, &self.decoder.threads);
        for (row, token) in rows.iter_mut().zip(tokens) {
            (self.heard)(row.prompt, token);
            row.written.push(token);
        }
    }
}

/// How many sequences whose caches take so many bytes each are written together, given `room`.
pub fn rows_within(room: usize, cache: usize) -> usize {
    (room / cache.max(1)).clamp(1, ROWS)
}

impl Decoder {
    /// Samples that are written together, so that their caches have room, and tokens of prompts that
    /// enter together.
    fn at_a_time(&self, prompts: &[Prompted], answer: usize) -> [usize; 2] {
        let longest = prompts
            .iter()
            .map(|prompt| prompt.tokens.len())
            .max()
            .unwrap_or(0);
        let values = 2 * self.config.keys_width() * (longest + answer);
        let most = rows_within(
            self.activations,
            self.config.layers * values * self.precision.bytes(),
        );
        if !self.halved {
            return [most, PREFILLED];
        }
        let samples: usize = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
        let tokens: usize = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        [most.min(samples), PREFILLED.min(tokens)].map(|whole| (whole / 2).max(1))
    }

    /// Takes in whole prompts; the logits of their last tokens, \[prompts, V\], and what is
    /// remembered of them.
    fn prefill(&self, prompts: &[&[u32]]) -> (Tensor<2>, Cache) {
        let tokens: Vec<u32> = prompts.concat();
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let device = self.device();
        let layout = Layout::new(
            &lengths,
            self.config.window,
            self.precision.float(),
            &device,
        );
        let attention = Attention {
            heads: &self.shape.heads,
            tables: self.tables(),
            layout: &layout,
        };
        let weights = self.resident();
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end - 1)
        });
        let ends = integers(ends, &device);
        let columns = integers(endwise(&lengths), &device);
        let mut x = self.embedded(&tokens);
        let mut layers = Vec::with_capacity(weights.blocks.len());
        for (number, block) in weights.blocks.iter().enumerate() {
            x = self.layer(number, block).apply(&x, |packed| {
                layers.push(self.remembered(packed, &lengths, &columns));
                attention.forward(packed).0
            });
        }
        let logits = self.resident_logits(&x.select(0, ends));
        (logits, Cache::new(layers, &lengths))
    }

    /// Rotated keys and values of ragged rows, \[R, K, T, S\] each, every sequence ending in the
    /// last column.
    fn remembered(
        &self,
        packed: &Tensor<2>,
        lengths: &[usize],
        columns: &Tensor<1, burn::tensor::Int>,
    ) -> [Tensor<4>; 2] {
        let heads = &self.shape.heads;
        let (rows, longest) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        let (from, width) = (heads.queries * heads.size, heads.keys * heads.size);
        let part = |from: usize| packed.clone().slice_dim(1, from..from + width);
        let count: usize = lengths.iter().sum();
        let positions = integers(
            lengths.iter().flat_map(|&length| 0..length),
            &packed.device(),
        );
        let [cosines, sines] = self.tables().clone().map(|table| {
            table
                .select(0, positions.clone())
                .reshape([count, 1, 1, heads.size / 2])
        });
        let keys = rotate(
            part(from).reshape([count, 1, heads.keys, heads.size]),
            [cosines, sines],
            false,
        );
        [keys.reshape([count, width]), part(from + width)].map(|rows_of_all| {
            let spread = rows_of_all.select(0, columns.clone());
            spread
                .reshape([rows, longest, heads.keys, heads.size])
                .swap_dims(1, 2)
        })
    }

    /// Takes in one token of each sequence; the logits, \[R, V\].
    fn advance_all(&self, tokens: &[u32], cache: &mut Cache) -> Tensor<2> {
        cache.reserve();
        let heads = &self.shape.heads;
        let (rows, h, k, size) = (tokens.len(), heads.queries, heads.keys, heads.size);
        let positions = integers(cache.positions(), &self.device());
        let angles = self.tables().clone().map(|table| {
            table
                .select(0, positions.clone())
                .reshape([rows, 1, 1, size / 2])
        });
        let empty = cache.empty(heads, self.config.window);
        let scale = (size as f64).sqrt().recip();
        let weights = self.resident();
        let mut x = self.embedded(tokens);
        for (number, block) in weights.blocks.iter().enumerate() {
            x = self.layer(number, block).apply(&x, |packed| {
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
                let precision = self.precision.float();
                let p = softmax(scores.mask_fill(empty.clone(), NEVER), 3).cast(precision);
                p.matmul(values).reshape([rows, h * size])
            });
        }
        cache.filled += 1;
        self.resident_logits(&x)
    }

    /// Logits of rows \[R, D\], \[R, V\], in 32 bits.
    fn resident_logits(&self, x: &Tensor<2>) -> Tensor<2> {
        self.tensor_head(self.resident())
            .logits(x)
            .cast(FloatDType::F32)
    }
}

/// The ragged row of every place of squares in which all sequences end in the last column; what
/// is before a sequence is of no use.
fn endwise(lengths: &[usize]) -> Vec<usize> {
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
    use crate::model::testing::decoder;

    #[test]
    fn half_is_half_of_what_would_be_there_together() {
        let prompts = |count: usize, samples: usize| -> Vec<Prompted> {
            let prompt = Prompted {
                tokens: vec![0; 10],
                seeds: vec![Seed(0); samples],
            };
            (0..count).map(|_| prompt.clone()).collect()
        };
        let mut decoder = decoder();
        // 2 layers, keys and values of 16 numbers of 4 bytes, 20 columns: 5120 bytes a row.
        for (room, count, samples, whole, half) in [
            (usize::MAX, 6, 2, [ROWS, PREFILLED], [6, 30]),
            (
                usize::MAX,
                1000,
                1,
                [ROWS, PREFILLED],
                [ROWS / 2, PREFILLED / 2],
            ),
            (8 * 5120, 6, 2, [8, PREFILLED], [4, 30]),
            (0, 1, 1, [1, PREFILLED], [1, 5]),
        ] {
            (decoder.activations, decoder.halved) = (room, false);
            let prompts = prompts(count, samples);
            assert_eq!(decoder.at_a_time(&prompts, 10), whole, "{room} {count}");
            decoder.halved = true;
            assert_eq!(decoder.at_a_time(&prompts, 10), half, "{room} {count}");
        }
    }
}
