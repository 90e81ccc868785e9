//! Small random decoders for tests.

use crate::domain::Seed;

use super::{Decoder, Engine, ExecutionContext, ModelConfig, Weights};

/// Size of their vocabulary.
pub const VOCABULARY: usize = 37;

/// A decoder of two layers with grouped heads.
pub fn decoder() -> Decoder {
    decoder_with(Engine::Cpu, false)
}

/// The same with other kernels, or with a head that shares the embedding.
pub fn decoder_with(kernels: Engine, tied: bool) -> Decoder {
    let config = ModelConfig {
        width: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 48,
        positions: 640,
        tied,
        ..ModelConfig::default()
    };
    let place = ExecutionContext {
        engine: kernels,
        ..ExecutionContext::open("flex").expect("the default backend")
    };
    // Wide weights, so that a sample depends on the tokens before it.
    let mut weights = Weights::init_random(&config, VOCABULARY, Seed(3), &place.device);
    weights.embedding = weights.embedding * 50.0;
    Decoder::new(config, weights, &place)
}

/// Logits behind the last of a sequence's tokens, when the sequence comes whole and alone.
pub fn next_token_logits(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
    decoder
        .forward_cached(&[tokens], &mut [&mut decoder.new_cache()])
        .remove(0)
}
