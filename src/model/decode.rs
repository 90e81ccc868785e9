//! Passes new tokens through a decoder against the caches of their sequences, as sampling does.
//!
//! Cuts the rows of a call into passes of bounded size, on slices in host memory. The portable
//! engine samples on its device instead, in `portable::generate`. The bits of a sequence's logits
//! depend on its own tokens alone, not on other sequences or on how its tokens were spread over calls.

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::Decoder;
use super::cached_forward::{CachedForward, ForwardBuffers};
use super::cpu::kv_cache::KvCache;
use super::host_weights::HostWeights;
use super::portable::DeviceWeights;
use super::prefix_cache::PrefixCache;

/// Rows of one pass at most: activations stay in a core's own cache.
pub(super) const MAX_PASS_ROWS: usize = 256;

/// Values that a decoder caches for sampling while its weights stay the same.
#[derive(Debug, Default)]
pub struct DecoderCaches {
    host_weights: OnceLock<HostWeights>,
    /// The same where the weights are.
    pub device_weights: DeviceWeights,
    /// Caches of earlier samples.
    pub prefix_cache: Mutex<PrefixCache>,
}

/// New tokens of one sequence that go through one pass.
#[derive(Clone, Debug)]
pub(super) struct TokenRange {
    /// Which sequence of the call.
    pub sequence: usize,
    /// Which of its new tokens.
    pub tokens: Range<usize>,
    /// Whether they end with the last one, whose logits are wanted.
    pub needs_logits: bool,
}

/// Decoding with buffers that are used again from step to step.
#[derive(Debug)]
pub(super) struct DecodeSession<'a> {
    decoder: &'a Decoder,
    buffers: ForwardBuffers,
    logits: Vec<f32>,
}

impl Decoder {
    /// An empty cache.
    #[must_use]
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(&self.shape.heads, self.config.layers)
    }

    /// Takes in the new tokens of each sequence and returns the logits of its last one, V values
    /// each.
    ///
    /// A sequence's logits do not depend on the other sequences of the call, nor on how its tokens
    /// were spread over calls.
    ///
    /// # Panics
    /// If a sequence brings no token or grows beyond the model's positions.
    pub fn forward_cached(&self, news: &[&[u32]], states: &mut [&mut KvCache]) -> Vec<Vec<f32>> {
        let mut session = DecodeSession::new(self);
        session
            .forward_cached(news, states)
            .chunks_exact(self.vocabulary_size())
            .map(<[f32]>::to_vec)
            .collect()
    }

    /// The parameters as slices.
    pub(super) fn host_weights(&self) -> &HostWeights {
        self.caches
            .host_weights
            .get_or_init(|| HostWeights::new(&self.weights))
    }
}

impl<'a> DecodeSession<'a> {
    pub fn new(decoder: &'a Decoder) -> Self {
        Self {
            decoder,
            buffers: ForwardBuffers::default(),
            logits: Vec::new(),
        }
    }

    /// As [`Decoder::forward_cached`]; the logits are \[sequences, V\].
    pub fn forward_cached(&mut self, news: &[&[u32]], states: &mut [&mut KvCache]) -> &[f32] {
        assert!(
            news.iter().all(|new| !new.is_empty()),
            "a sequence brings no token"
        );
        let vocabulary = self.decoder.vocabulary_size();
        // One more: a pass has at least two rows.
        let wanted = (news.len() + 1) * vocabulary;
        if self.logits.len() < wanted {
            self.logits.resize(wanted, 0.0);
        }
        let mut ended = 0;
        for segments in split_into_passes(news) {
            for segment in &segments {
                states[segment.sequence].reserve(segment.tokens.len());
            }
            let logits = &mut self.logits[ended * vocabulary..];
            let pass = CachedForward {
                decoder: self.decoder,
                host: self.decoder.host_weights(),
                new_tokens: news,
            };
            pass.run(&segments, states, &mut self.buffers, logits);
            for segment in &segments {
                states[segment.sequence].commit(segment.tokens.len());
                ended += usize::from(segment.needs_logits);
            }
        }
        &self.logits[..news.len() * vocabulary]
    }
}

/// All new tokens in order, in passes of at most `MAX_PASS_ROWS` rows.
fn split_into_passes(news: &[&[u32]]) -> Vec<Vec<TokenRange>> {
    let (mut passes, mut segments, mut room) = (Vec::new(), Vec::new(), MAX_PASS_ROWS);
    for (sequence, new) in news.iter().enumerate() {
        let mut from = 0;
        while from < new.len() {
            let to = new.len().min(from + room);
            segments.push(TokenRange {
                sequence,
                tokens: from..to,
                needs_logits: to == new.len(),
            });
            room -= to - from;
            from = to;
            if room == 0 {
                passes.push(std::mem::take(&mut segments));
                room = MAX_PASS_ROWS;
            }
        }
    }
    if !segments.is_empty() {
        passes.push(segments);
    }
    passes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Seed;
    use crate::model::Engine;
    use crate::model::Weights;
    use crate::model::fixtures::{VOCABULARY, decoder, decoder_with, next_token_logits};

    fn tokens(seed: u64, count: usize) -> Vec<u32> {
        let mut draws = Seed(seed).rng();
        (0..count)
            .map(|_| draws.int_between(0, VOCABULARY as i64 - 1) as u32)
            .collect()
    }

    fn bits(logits: &[f32]) -> Vec<u32> {
        logits.iter().map(|logit| logit.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn logits_depend_on_the_sequence_alone(
            tied: bool,
            lengths in prop::collection::vec(1..150_usize, 1..7),
            cuts in prop::collection::vec(1..90_usize, 1..5),
            seed: u64,
        ) {
            let decoder = decoder_with(Engine::Cpu, tied);
            let all: Vec<Vec<u32>> = lengths.iter().zip(seed..).map(|(&n, seed)| tokens(seed, n)).collect();
            let mut states: Vec<KvCache> = all.iter().map(|_| decoder.new_cache()).collect();
            let mut session = DecodeSession::new(&decoder);
            // Every sequence goes its own pace; those that are through leave the batch.
            for round in 0.. {
                let mut news: Vec<(usize, &[u32])> = Vec::new();
                for (index, tokens) in all.iter().enumerate() {
                    let from = states[index].token_count();
                    let to = tokens.len().min(from + cuts[(index + round) % cuts.len()]);
                    if from < to {
                        news.push((index, &tokens[from..to]));
                    }
                }
                if news.is_empty() {
                    break;
                }
                let going: Vec<usize> = news.iter().map(|(index, _)| *index).collect();
                let slices: Vec<&[u32]> = news.iter().map(|(_, new)| *new).collect();
                let mut mine: Vec<&mut KvCache> = states
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(index, state)| going.contains(&index).then_some(state))
                    .collect();
                let logits = session.forward_cached(&slices, &mut mine).to_vec();
                for (index, logits) in going.into_iter().zip(logits.chunks_exact(VOCABULARY)) {
                    let expected = next_token_logits(&decoder, &all[index][..states[index].token_count()]);
                    prop_assert!(bits(logits) == bits(&expected), "sequence {index} in round {round}");
                }
            }
        }
    }

    #[test]
    fn passes_hold_every_token_once_and_know_the_last_ones() {
        let all: Vec<Vec<u32>> = [300, 1, 211, 1, 600].iter().map(|&n| vec![0; n]).collect();
        let news: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
        let cut: Vec<Vec<(usize, Range<usize>, bool)>> = split_into_passes(&news)
            .into_iter()
            .map(|pass| {
                pass.into_iter()
                    .map(|s| (s.sequence, s.tokens, s.needs_logits))
                    .collect()
            })
            .collect();
        assert_eq!(
            cut,
            [
                vec![(0, 0..256, false)],
                vec![(0, 256..300, true), (1, 0..1, true), (2, 0..211, true)],
                vec![(3, 0..1, true), (4, 0..255, false)],
                vec![(4, 255..511, false)],
                vec![(4, 511..600, true)],
            ]
        );
    }

    #[test]
    fn other_weights_do_not_see_what_these_remember() {
        let decoder = decoder();
        let weights = decoder.weights().clone();
        let other = decoder.with_weights(Weights {
            norm: weights.norm.clone() * 2.0,
            ..weights
        });
        assert_ne!(
            bits(&next_token_logits(&decoder, &[1, 2])),
            bits(&next_token_logits(&other, &[1, 2]))
        );
    }
}
