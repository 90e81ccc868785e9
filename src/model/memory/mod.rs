//! How many bytes a model needs where it works, before any of them is taken.
//!
//! ```text
//! plain   the decoder as operations on tensors: graphics cards, adapters, every architecture
//! fused   the fused kernels of the embedded backend
//! ```
//!
//! Pure arithmetic from sizes and from what is done with them. Weights, gradients, moments and
//! caches are what is allocated; activations and logits count the results that are alive at the
//! fullest moment, and a backend's own reserve comes on top. Must not know of devices, nor how much
//! memory one has.

mod fused;
mod plain;

use serde::Serialize;

use super::adapters::LoraConfig;
use super::{Kernels, ModelConfig, Place, Precision};

/// What is done with a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Sequences are continued, all at once as far as the program does that.
    Sampling {
        /// How many.
        sequences: usize,
        /// Tokens of each prompt.
        prompt: usize,
        /// Tokens of each answer.
        answer: usize,
    },
    /// Optimizer steps.
    Training {
        /// Sequences of a batch.
        sequences: usize,
        /// Tokens of each.
        length: usize,
        /// What is moved.
        trained: Trained,
        /// Whether what is moved is compared with how it was.
        has_reference: bool,
    },
}

/// Which parameters are trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Trained {
    /// All of them.
    All,
    /// Adapters alone.
    Adapters(LoraConfig),
}

/// How a model is kept and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The kernels of the place; a decoder that they do not know works on plain ones.
    pub kernels: Kernels,
    /// The numbers that are multiplied.
    pub precision: Precision,
    /// The numbers that matrices are kept as.
    pub storage: Precision,
    /// Bytes that activations may take before they are computed a second time instead.
    pub activations: usize,
    /// Threads that work at the same time.
    pub threads: usize,
}

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// The parameters that are worked with, adapters included.
    pub weights: u64,
    /// Parameters that are there a second time: those of a reference, those in the precision of
    /// products, and transposed ones.
    pub copies: u64,
    /// Gradients of what is trained.
    pub gradients: u64,
    /// The optimizer's moments.
    pub moments: u64,
    /// Results between the layers, and those of one layer or of the optimizer.
    pub activations: u64,
    /// Keys and values of sequences that are being written.
    pub cache: u64,
    /// What the output head makes at a time.
    pub logits: u64,
}

impl Footprint {
    /// All bytes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The parts by name, in the order of the fields.
    #[must_use]
    pub const fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("weights", self.weights),
            ("copies", self.copies),
            ("gradients", self.gradients),
            ("moments", self.moments),
            ("activations", self.activations),
            ("cache", self.cache),
            ("logits", self.logits),
        ]
    }
}

impl Numbers {
    /// Those of a place.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        let Place {
            kernels,
            precision,
            storage,
            activations,
            ref threads,
            ..
        } = *place;
        Self {
            kernels,
            precision,
            storage,
            activations,
            threads: threads.count(),
        }
    }
}

/// What `work` needs with a model of these sizes and a vocabulary of so many tokens.
#[must_use]
pub fn footprint(
    config: &ModelConfig,
    vocabulary: usize,
    work: &Work,
    numbers: &Numbers,
) -> Footprint {
    let is_adapted = matches!(
        work,
        Work::Training {
            trained: Trained::Adapters(_),
            ..
        }
    );
    let kernels = numbers.kernels.fitting(config, is_adapted, numbers.storage);
    let model = Model {
        config,
        vocabulary,
        numbers,
    };
    match kernels {
        Kernels::Fused => fused::footprint(&model, work),
        Kernels::Plain => plain::footprint(&model, work),
    }
}

/// Numbers that the way back through one block needs, for so many rows and so many scores of
/// queries against keys.
pub(super) const fn kept_by_a_block(config: &ModelConfig, rows: usize, scores: usize) -> usize {
    let packed = config.queries_width() + 2 * config.keys_width();
    rows * (4 * config.width + 2 * packed + config.queries_width() + 2 * config.hidden) + scores
}

/// A model that something is done with.
struct Model<'a> {
    config: &'a ModelConfig,
    vocabulary: usize,
    numbers: &'a Numbers,
}

impl Model<'_> {
    /// Values of a block's matrices: for queries, keys and values, for attention output, for gates and
    /// ups, and for SwiGLU output.
    const fn matrices(&self) -> [usize; 4] {
        let ModelConfig { width, hidden, .. } = *self.config;
        let (q, kv) = (self.config.queries_width(), self.config.keys_width());
        [
            width * (q + 2 * kv),
            q * width,
            width * 2 * hidden,
            hidden * width,
        ]
    }

    /// Values of all of them.
    fn block(&self) -> usize {
        self.matrices().iter().sum()
    }

    /// Values of the embedding, or of the head.
    const fn embedding(&self) -> usize {
        self.vocabulary * self.config.width
    }

    /// Values of a head of its own; none if it shares the embedding's.
    const fn head(&self) -> usize {
        if self.config.tied {
            0
        } else {
            self.embedding()
        }
    }

    /// Values of all matrices.
    fn all_matrices(&self) -> usize {
        self.config.layers * self.block() + self.embedding() + self.head()
    }

    /// Bytes of the parameters without adapters: matrices as they are stored, the rest in 32 bits.
    fn weights(&self) -> usize {
        let rest = self.parameters() - self.all_matrices();
        self.all_matrices() * self.numbers.storage.bytes() + rest * SINGLE
    }

    const fn parameters(&self) -> usize {
        self.config.weights(self.vocabulary)
    }

    /// Values of the largest parameter.
    fn largest(&self) -> usize {
        self.matrices()
            .into_iter()
            .fold(self.embedding(), usize::max)
    }

    /// Values of the keys and values of one position in one layer.
    const fn remembered(&self) -> usize {
        2 * self.config.keys_width()
    }
}

/// Bytes of a 32-bit float.
const SINGLE: usize = 4;
/// Moments that the optimizer keeps of a parameter.
const MOMENTS: usize = 2;

#[cfg(test)]
mod tests;
