//! The language model: a Llama-style decoder, its tokenizer, its checkpoints, and sampling.
//!
//! Shape letters used in this module: N rows (tokens of all sequences of a ragged batch), D width,
//! H query heads, K key and value heads, S head size, F SwiGLU width, V vocabulary.
//!
//! Hides burn, the tokenizers crate and the checkpoint format. Must not know about tasks,
//! rollouts, rewards or the store.

mod adapters;
mod cached_forward;
mod chat_template;
pub mod checkpoint;
mod config;
pub mod cpu;
mod decode;
mod decoder;
mod device;
mod device_memory;
#[cfg(test)]
mod fixtures;
pub mod footprint;
mod forward_backward;
mod generate;
mod host_weights;
mod language_model;
mod likelihood;
mod out_of_memory;
mod portable;
mod prefix_cache;
mod sampler;
mod threads;
mod tokenizer;
mod weights;

pub use adapters::{BlockMatrix, LoraAdapter, LoraAdapters, LoraConfig, Projection};
pub use chat_template::{ChatError, ChatTemplate};
pub use checkpoint::{CheckpointError, CheckpointFolder};
pub use config::{ModelConfig, RopeScaling};
pub use cpu::kv_cache::KvCache;
pub use cpu::{Engine, LossTargets};
pub use decoder::{Decoder, RaggedBatch};
pub use device::{
    BACKENDS, Backend, ExecutionContext, Precision, device_name, instruction_set,
    is_software_renderer, list_devices,
};
pub use device_memory::device_memory;
pub use forward_backward::{Gradient, Gradients};
pub use generate::{GenerationPrompt, TokenCallback, generate, generate_streaming};
pub use language_model::LanguageModel;
pub use out_of_memory::OutOfMemory;
pub use threads::Threads;
pub use tokenizer::{EncodedDialogue, SpecialTokens, Tokenizer, TokenizerError};
pub use weights::{ParameterVisitor, Weights};

/// Tunes the process for training and sampling; call once, first thing in `main`.
///
/// Freed memory stays with the process instead of going back to the kernel after every
/// operation: tensors of one step are as large as those of the step before.
pub fn tune_allocator() {
    device::tune_allocator();
}

/// Gives up the working memory that training keeps from step to step: another stage begins, and
/// may need other sizes.
pub fn release_memory() {
    cpu::buffer::release_unused();
}
