//! Small random decoders for tests of whatever decodes.

use crate::domain::Seed;

use super::{Decoder, Kernels, ModelConfig, Place, Weights};

/// Size of their vocabulary.
pub const VOCABULARY: usize = 37;

/// A decoder of two layers with grouped heads.
pub fn decoder() -> Decoder {
    with(Kernels::Fused, false)
}

/// The same with other kernels, or with a head that shares the embedding.
pub fn with(kernels: Kernels, tied: bool) -> Decoder {
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
    let place = Place {
        kernels,
        ..Place::open("flex").expect("the default backend")
    };
    // Wide weights: what is drawn must depend on what came before.
    let mut weights = Weights::random(&config, VOCABULARY, Seed(3), &place.device);
    weights.embedding = weights.embedding * 50.0;
    Decoder::new(config, weights, &place)
}
