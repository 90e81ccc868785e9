//! The language model: a Llama-style decoder, its tokenizer, its checkpoints, and sampling.
//!
//! Shape letters used in this module: N rows (tokens of all sequences of a ragged batch), D width,
//! H query heads, K key and value heads, S head size, F SwiGLU width, V vocabulary.
//!
//! Hides burn, the tokenizers crate and the checkpoint format. Must not know about tasks,
//! rollouts, rewards or the store.

mod adapters;
mod backprop;
mod capacity;
mod chat;
pub mod checkpoint;
mod config;
mod decode;
mod decoder;
mod device;
mod generate;
mod host;
mod kept;
mod language_model;
mod likelihood;
pub mod memory;
pub mod ops;
mod out_of_memory;
mod pass;
mod sampler;
mod tensors;
#[cfg(test)]
mod testing;
mod threads;
mod tokenizer;
mod weights;

pub use adapters::{Adapter, Adapters, LoraConfig, Packed, Projection};
pub use backprop::{Gradient, Gradients};
pub use capacity::capacity;
pub use chat::{ChatError, ChatTemplate};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::{ModelConfig, RopeScaling};
pub use decode::State;
pub use decoder::{Decoder, Ragged};
pub use device::{
    BACKENDS, Backend, Place, Precision, device_name, devices, instruction_set, is_software,
};
pub use generate::{Heard, Prompted, generate, generate_aloud};
pub use language_model::LanguageModel;
pub use ops::{Kernels, Targets};
pub use out_of_memory::OutOfMemory;
pub use threads::Threads;
pub use tokenizer::{Control, Tokenizer, TokenizerError, Written};
pub use weights::{Visit, Weights};

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
    ops::buffer::release();
}
