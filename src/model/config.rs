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
    /// S: size of a head, where it is not D / H (Qwen3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_size: Option<usize>,
    /// Whether queries, keys and values have a bias (Qwen2).
    #[serde(skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// Whether each head of queries and keys is normalised before it is rotated (Qwen3).
    #[serde(skip_serializing_if = "is_false")]
    pub qk_norm: bool,
    /// Tokens that a query sees at most, itself included (Mistral's sliding window).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// How rotary frequencies are changed for longer contexts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
}

/// Changes of the rotary frequencies, as Hugging Face's configurations name them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RopeScaling {
    /// All frequencies divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: long waves divided by a factor, short ones kept, those between mixed.
    Llama3 {
        /// Divisor of low frequencies.
        factor: f64,
        /// Waves longer than the original positions over this are divided.
        low_frequency_factor: f64,
        /// Waves shorter than the original positions over this are kept.
        high_frequency_factor: f64,
        /// Positions that the model was first trained with.
        original_positions: f64,
    },
}

impl RopeScaling {
    /// The changed frequency, in radians per position.
    #[must_use]
    pub fn scale_frequency(&self, frequency: f64) -> f64 {
        match *self {
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_positions,
            } => {
                let waves = original_positions * frequency / std::f64::consts::TAU;
                if waves < low {
                    frequency / factor
                } else if waves > high {
                    frequency
                } else {
                    let kept = (waves - low) / (high - low);
                    (1.0 - kept) * frequency / factor + kept * frequency
                }
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
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
            head_size: None,
            qkv_bias: false,
            qk_norm: false,
            window: None,
            rope_scaling: None,
        }
    }
}

impl ModelConfig {
    /// S: size of one head.
    #[must_use]
    pub const fn head_size(&self) -> usize {
        match self.head_size {
            Some(size) => size,
            None => self.width / self.heads,
        }
    }

    /// H S: width of all query heads together.
    #[must_use]
    pub const fn query_width(&self) -> usize {
        self.heads * self.head_size()
    }

    /// K S: width of all key heads together.
    #[must_use]
    pub const fn key_width(&self) -> usize {
        self.kv_heads * self.head_size()
    }

    /// Whether this is more than the fused kernels know.
    #[must_use]
    pub const fn requires_portable(&self) -> bool {
        self.qkv_bias || self.qk_norm || self.window.is_some()
    }

    /// The first invalid size, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
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
        if self.head_size.is_some_and(|size| !size.is_multiple_of(2)) {
            return Some(("head_size", "must be even".to_owned()));
        }
        if self.window == Some(0) {
            return Some(("window", "must be at least 1".to_owned()));
        }
        if self.head_size.is_none() && !self.width.is_multiple_of(2 * self.heads) {
            return Some((
                "heads",
                format!(
                    "width {} / {} heads is not an even head size",
                    self.width, self.heads
                ),
            ));
        }
        (!self.heads.is_multiple_of(self.kv_heads)).then(|| {
            (
                "kv_heads",
                format!("{} does not divide {} heads", self.kv_heads, self.heads),
            )
        })
    }

    /// Number of weights with a vocabulary of `vocabulary` tokens.
    #[must_use]
    pub const fn parameter_count(&self, vocabulary: usize) -> usize {
        let (q, kv) = (self.query_width(), self.key_width());
        let attention = self.width * (2 * q + 2 * kv);
        let extra =
            self.qkv_bias as usize * (q + 2 * kv) + self.qk_norm as usize * 2 * self.head_size();
        let block = attention + extra + 3 * self.width * self.hidden + 2 * self.width;
        let ends = if self.tied { 1 } else { 2 } * vocabulary * self.width;
        self.layers * block + ends + self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: with 8,192 original positions a wave of 8,192 is long (divided by 8), one of 1,024 is
    /// short (kept), and one of 4,096 lies a third of the way from 1 to 4 waves.
    #[test]
    fn llama_3_divides_long_waves_only() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_positions: 8192.0,
        };
        let wave = |length: f64| std::f64::consts::TAU / length;
        let changed = |length: f64| scaling.scale_frequency(wave(length)) / wave(length);
        assert!((changed(16_384.0) - 0.125).abs() < 1e-12);
        assert!((changed(1024.0) - 1.0).abs() < 1e-12);
        assert!((changed(4096.0) - (2.0 / 3.0 / 8.0 + 1.0 / 3.0)).abs() < 1e-12);
        assert!((RopeScaling::Linear { factor: 4.0 }.scale_frequency(1.0) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn what_other_architectures_have_is_left_out_of_plain_ones() {
        let text = serde_json::to_string(&ModelConfig::default()).unwrap();
        for field in ["head_size", "qkv_bias", "qk_norm", "window", "rope_scaling"] {
            assert!(!text.contains(field), "{text}");
        }
    }

    #[test]
    fn weights_are_counted_with_biases_and_norms() {
        let config = ModelConfig {
            width: 8,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            hidden: 16,
            head_size: Some(6),
            qkv_bias: true,
            qk_norm: true,
            tied: true,
            ..ModelConfig::default()
        };
        // A block: 8 x (12 + 2 x 6) + 12 x 8, 24 of bias, 2 x 6 of norms, 3 x 8 x 16, 2 x 8.
        assert_eq!(
            config.parameter_count(10),
            2 * (192 + 96 + 24 + 12 + 384 + 16) + 80 + 8
        );
    }
}
