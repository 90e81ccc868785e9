//! Sizes of the decoder.

use serde::{Deserialize, Serialize};

/// Sizes of a Llama-style decoder; the vocabulary comes from the tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// D: width of the residual stream.
    pub width: usize,
    /// Number of decoder blocks.
    pub layers: usize,
    /// H: query heads; divides `width` into an even head size.
    pub heads: usize,
    /// Key and value heads; divides `heads` (grouped-query attention).
    pub kv_heads: usize,
    /// F: width of the SwiGLU layer.
    pub hidden: usize,
    /// Longest sequence, in tokens.
    pub positions: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in `RMSNorm`.
    pub norm_epsilon: f64,
    /// Whether the output head shares the embedding's weights.
    pub tied: bool,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            width: 96,
            layers: 4,
            heads: 4,
            kv_heads: 4,
            hidden: 256,
            positions: 1024,
            rope_theta: 10_000.0,
            norm_epsilon: 1e-5,
            tied: false,
        }
    }
}

impl ModelConfig {
    /// Size of one head, D / H.
    #[must_use]
    pub const fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// What is wrong with these sizes, if anything, as (field, complaint).
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let sizes = [
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("hidden", self.hidden),
            ("positions", self.positions),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Some((field, "must be at least 1".to_owned()));
        }
        if !self.width.is_multiple_of(2 * self.heads) {
            return Some((
                "heads",
                format!("width {} / {} heads is not an even head size", self.width, self.heads),
            ));
        }
        (!self.heads.is_multiple_of(self.kv_heads))
            .then(|| ("kv_heads", format!("{} does not divide {} heads", self.kv_heads, self.heads)))
    }

    /// Number of weights with a vocabulary of `vocabulary` tokens.
    #[must_use]
    pub const fn weights(&self, vocabulary: usize) -> usize {
        let kv = self.kv_heads * self.head_size();
        let attention = self.width * (2 * self.width + 2 * kv);
        let block = attention + 3 * self.width * self.hidden + 2 * self.width;
        let ends = if self.tied { 1 } else { 2 } * vocabulary * self.width;
        self.layers * block + ends + self.width
    }
}
