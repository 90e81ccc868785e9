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

mod cpu;
mod portable;

use serde::Serialize;

use super::adapters::LoraConfig;
use super::{Engine, ExecutionContext, ModelConfig, Precision};

/// What is done with a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
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
        trainable: TrainableParams,
        /// Whether what is moved is compared with how it was.
        has_reference: bool,
    },
}

/// Which parameters are trained.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainableParams {
    /// All of them.
    All,
    /// Adapters alone.
    Adapters(LoraConfig),
}

/// How a model is kept and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumericFormat {
    /// The kernels of the place; a decoder that they do not know works on plain ones.
    pub engine: Engine,
    /// The numbers that are multiplied.
    pub precision: Precision,
    /// The numbers that matrices are kept as.
    pub storage: Precision,
    /// Bytes that activations may take before they are computed a second time instead.
    pub activation_budget: usize,
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

impl NumericFormat {
    /// Those of a place.
    #[must_use]
    pub fn from_context(place: &ExecutionContext) -> Self {
        let ExecutionContext {
            engine: kernels,
            precision,
            storage,
            activation_budget: activations,
            ref threads,
            ..
        } = *place;
        Self {
            engine: kernels,
            precision,
            storage,
            activation_budget: activations,
            threads: threads.count(),
        }
    }
}

/// What `work` needs with a model of these sizes and a vocabulary of so many tokens.
#[must_use]
pub fn footprint(
    config: &ModelConfig,
    vocabulary: usize,
    work: &Workload,
    numbers: &NumericFormat,
) -> Footprint {
    let is_adapted = matches!(
        work,
        Workload::Training {
            trainable: TrainableParams::Adapters(_),
            ..
        }
    );
    let kernels = numbers
        .engine
        .resolve_for(config, is_adapted, numbers.storage);
    let model = ModelSizes {
        config,
        vocabulary,
        format: numbers,
    };
    match kernels {
        Engine::Cpu => cpu::footprint(&model, work),
        Engine::Portable => portable::footprint(&model, work),
    }
}

/// Numbers that the way back through one block needs, for so many rows and so many scores of
/// queries against keys.
pub(super) const fn saved_values_per_block(
    config: &ModelConfig,
    rows: usize,
    scores: usize,
) -> usize {
    let packed = config.query_width() + 2 * config.key_width();
    rows * (4 * config.width + 2 * packed + config.query_width() + 2 * config.hidden) + scores
}

/// A model that something is done with.
struct ModelSizes<'a> {
    config: &'a ModelConfig,
    vocabulary: usize,
    format: &'a NumericFormat,
}

impl ModelSizes<'_> {
    /// Values of a block's matrices: for queries, keys and values, for attention output, for gates and
    /// ups, and for SwiGLU output.
    const fn matrix_values(&self) -> [usize; 4] {
        let ModelConfig { width, hidden, .. } = *self.config;
        let (q, kv) = (self.config.query_width(), self.config.key_width());
        [
            width * (q + 2 * kv),
            q * width,
            width * 2 * hidden,
            hidden * width,
        ]
    }

    /// Values of all of them.
    fn block_values(&self) -> usize {
        self.matrix_values().iter().sum()
    }

    /// Values of the embedding, or of the head.
    const fn embedding_values(&self) -> usize {
        self.vocabulary * self.config.width
    }

    /// Values of a head of its own; none if it shares the embedding's.
    const fn head_values(&self) -> usize {
        if self.config.tied {
            0
        } else {
            self.embedding_values()
        }
    }

    /// Values of all matrices.
    fn all_matrix_values(&self) -> usize {
        self.config.layers * self.block_values() + self.embedding_values() + self.head_values()
    }

    /// Bytes of the parameters without adapters: matrices as they are stored, the rest in 32 bits.
    fn weight_bytes(&self) -> usize {
        let rest = self.parameter_count() - self.all_matrix_values();
        self.all_matrix_values() * self.format.storage.bytes() + rest * F32_BYTES
    }

    const fn parameter_count(&self) -> usize {
        self.config.parameter_count(self.vocabulary)
    }

    /// Values of the largest parameter.
    fn largest_parameter(&self) -> usize {
        self.matrix_values()
            .into_iter()
            .fold(self.embedding_values(), usize::max)
    }

    /// Values of the keys and values of one position in one layer.
    const fn kv_values_per_position(&self) -> usize {
        2 * self.config.key_width()
    }
}

/// Bytes of a 32-bit float.
const F32_BYTES: usize = 4;
/// Moments that the optimizer keeps of a parameter.
const MOMENTS_PER_PARAMETER: usize = 2;

#[cfg(test)]
mod tests;
