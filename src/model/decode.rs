//! New tokens against what is remembered of their sequences: the sampling way through a decoder.
//!
//! Responsible for cutting the rows of a call into passes of bounded size. Works on slices in host
//! memory, wherever the weights are; `tensors` samples where they are. A sequence's logits depend on its
//! own tokens alone, as bits: not on the other sequences, nor on which tokens came in one call.

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::Decoder;
use super::host::Host;
use super::kept::Kept;
use super::ops::cache::Cache;
use super::pass::{Buffers, Pass};
use super::tensors::Resident;

/// Rows of one pass at most: activations stay in a core's own cache.
pub(super) const ROWS: usize = 256;

/// What a decoder keeps for sampling as long as it has the same weights.
#[derive(Debug, Default)]
pub struct Memory {
    host: OnceLock<Host>,
    /// The same where the weights are.
    pub resident: Resident,
    /// Caches of earlier samples.
    pub kept: Mutex<Kept>,
}

/// What the decoder remembers of one sequence: keys and values of every layer. Clones share what
/// they have in common.
#[derive(Clone, Debug)]
pub struct State(pub(super) Cache);

impl State {
    /// Tokens taken in so far.
    #[must_use]
    pub const fn filled(&self) -> usize {
        self.0.filled()
    }

    /// Bytes that it holds, alone or with others.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// What it was after the first `length` tokens.
    ///
    /// # Panics
    /// If there were fewer.
    #[must_use]
    pub fn prefix(&self, length: usize) -> Self {
        Self(self.0.prefix(length))
    }
}

/// New tokens of one sequence that go through one pass.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Which sequence of the call.
    pub sequence: usize,
    /// Which of its new tokens.
    pub tokens: Range<usize>,
    /// Whether they end with the last one, whose logits are wanted.
    pub ends: bool,
}

/// Decoding with buffers that are used again from step to step.
#[derive(Debug)]
pub(super) struct Session<'a> {
    decoder: &'a Decoder,
    buffers: Buffers,
    logits: Vec<f32>,
}

impl Decoder {
    /// An empty memory.
    #[must_use]
    pub fn state(&self) -> State {
        State(Cache::new(&self.shape.heads, self.config.layers))
    }

    /// Takes in the new tokens of each sequence and returns the logits of its last one, V values
    /// each.
    ///
    /// A sequence's logits do not depend on the other sequences of the call, nor on how its tokens
    /// were spread over calls.
    ///
    /// # Panics
    /// If a sequence brings no token or grows beyond the model's positions.
    pub fn advance(&self, news: &[&[u32]], states: &mut [&mut State]) -> Vec<Vec<f32>> {
        let mut session = Session::new(self);
        session
            .advance(news, states)
            .chunks_exact(self.vocabulary())
            .map(<[f32]>::to_vec)
            .collect()
    }

    /// The parameters as slices.
    pub(super) fn host(&self) -> &Host {
        self.memory.host.get_or_init(|| Host::new(&self.weights))
    }
}

impl<'a> Session<'a> {
    pub fn new(decoder: &'a Decoder) -> Self {
        Self {
            decoder,
            buffers: Buffers::default(),
            logits: Vec::new(),
        }
    }

    /// As [`Decoder::advance`]; the logits are \[sequences, V\].
    pub fn advance(&mut self, news: &[&[u32]], states: &mut [&mut State]) -> &[f32] {
        assert!(
            news.iter().all(|new| !new.is_empty()),
            "a sequence brings no token"
        );
        let vocabulary = self.decoder.vocabulary();
        // One more: a pass has at least two rows.
        let wanted = (news.len() + 1) * vocabulary;
        if self.logits.len() < wanted {
            self.logits.resize(wanted, 0.0);
        }
        let mut ended = 0;
        for segments in passes(news) {
            for segment in &segments {
                states[segment.sequence].0.reserve(segment.tokens.len());
            }
            let logits = &mut self.logits[ended * vocabulary..];
            let pass = Pass {
                decoder: self.decoder,
                host: self.decoder.host(),
                news,
            };
            pass.run(&segments, states, &mut self.buffers, logits);
            for segment in &segments {
                states[segment.sequence].0.fill(segment.tokens.len());
                ended += usize::from(segment.ends);
            }
        }
        &self.logits[..news.len() * vocabulary]
    }
}

/// All new tokens in order, in passes of at most `ROWS` rows.
fn passes(news: &[&[u32]]) -> Vec<Vec<Segment>> {
    let (mut passes, mut segments, mut room) = (Vec::new(), Vec::new(), ROWS);
    for (sequence, new) in news.iter().enumerate() {
        let mut from = 0;
        while from < new.len() {
            let to = new.len().min(from + room);
            segments.push(Segment {
                sequence,
                tokens: from..to,
                ends: to == new.len(),
            });
            room -= to - from;
            from = to;
            if room == 0 {
                passes.push(std::mem::take(&mut segments));
                room = ROWS;
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
    use crate::model::Kernels;
    use crate::model::Weights;
    use crate::model::testing::{VOCABULARY, decoder, with};

    fn tokens(seed: u64, count: usize) -> Vec<u32> {
        let mut draws = Seed(seed).draws();
        (0..count)
            .map(|_| draws.between(0, VOCABULARY as i64 - 1) as u32)
            .collect()
    }

    fn bits(logits: &[f32]) -> Vec<u32> {
        logits.iter().map(|logit| logit.to_bits()).collect()
    }

    /// Logits of the last token of a sequence that comes whole and alone.
    fn whole(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
        decoder
            .advance(&[tokens], &mut [&mut decoder.state()])
            .remove(0)
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
            let decoder = with(Kernels::Fused, tied);
            let all: Vec<Vec<u32>> = lengths.iter().zip(seed..).map(|(&n, seed)| tokens(seed, n)).collect();
            let mut states: Vec<State> = all.iter().map(|_| decoder.state()).collect();
            let mut session = Session::new(&decoder);
            // Every sequence goes its own pace; those that are through leave the batch.
            for round in 0.. {
                let mut news: Vec<(usize, &[u32])> = Vec::new();
                for (index, tokens) in all.iter().enumerate() {
                    let from = states[index].filled();
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
                let mut mine: Vec<&mut State> = states
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(index, state)| going.contains(&index).then_some(state))
                    .collect();
                let logits = session.advance(&slices, &mut mine).to_vec();
                for (index, logits) in going.into_iter().zip(logits.chunks_exact(VOCABULARY)) {
                    let expected = whole(&decoder, &all[index][..states[index].filled()]);
                    prop_assert!(bits(logits) == bits(&expected), "sequence {index} in round {round}");
                }
            }
        }
    }

    #[test]
    fn passes_hold_every_token_once_and_know_the_last_ones() {
        let all: Vec<Vec<u32>> = [300, 1, 211, 1, 600].iter().map(|&n| vec![0; n]).collect();
        let news: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
        let cut: Vec<Vec<(usize, Range<usize>, bool)>> = passes(&news)
            .into_iter()
            .map(|pass| {
                pass.into_iter()
                    .map(|s| (s.sequence, s.tokens, s.ends))
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
            bits(&whole(&decoder, &[1, 2])),
            bits(&whole(&other, &[1, 2]))
        );
    }
}
