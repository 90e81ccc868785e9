//! New tokens against what is remembered of their sequences: the sampling way through a decoder.
//!
//! Responsible for cutting the rows of a call into passes of bounded size. Hides which kernels
//! perform a pass (`pass` on slices, `plain_pass` on tensors). A sequence's logits depend on its
//! own tokens alone, as bits: not on the other sequences, nor on which tokens came in one call.

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::host::Host;
use super::kept::Kept;
use super::ops::cache::Cache;
use super::pass::{Buffers, Pass};
use super::{Decoder, Kernels, plain_pass};

/// Rows of one pass at most: activations stay in a core's own cache.
const ROWS: usize = 256;

/// What a decoder keeps for sampling as long as it has the same weights.
#[derive(Debug, Default)]
pub struct Memory {
    host: OnceLock<Host>,
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
        State(Cache::new(&self.heads, self.config.layers))
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
        session.advance(news, states).chunks_exact(self.vocabulary()).map(<[f32]>::to_vec).collect()
    }

    /// The parameters as slices.
    pub(super) fn host(&self) -> &Host {
        self.memory.host.get_or_init(|| Host::new(&self.weights))
    }
}

impl<'a> Session<'a> {
    pub fn new(decoder: &'a Decoder) -> Self {
        Self { decoder, buffers: Buffers::default(), logits: Vec::new() }
    }

    /// As [`Decoder::advance`]; the logits are \[sequences, V\].
    pub fn advance(&mut self, news: &[&[u32]], states: &mut [&mut State]) -> &[f32] {
        assert!(news.iter().all(|new| !new.is_empty()), "a sequence brings no token");
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
            match self.decoder.kernels {
                Kernels::Fused => {
                    let pass = Pass { decoder: self.decoder, host: self.decoder.host(), news };
                    pass.run(&segments, states, &mut self.buffers, logits);
                }
                Kernels::Plain => plain_pass::run(self.decoder, news, &segments, states, logits),
            }
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
            segments.push(Segment { sequence, tokens: from..to, ends: to == new.len() });
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
