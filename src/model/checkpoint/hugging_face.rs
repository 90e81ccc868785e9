//! Sizes from the `config.json` of the architectures that are known, and back.
//!
//! One decoder stands for all of them: what differs is said in [`ModelConfig`]. What cannot be said
//! there is refused by name rather than computed wrongly.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::ModelConfig;
use crate::model::config::RopeScaling;

/// An architecture as `model_type` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama 2 and 3, `TinyLlama`, `SmolLM2`, Zephyr's and Vicuna's bases.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
}

impl Architecture {
    const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// What `model_type` says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Finds the architecture that `model_type` names, or says which there are.
    fn from_name(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let known = Self::ALL
                .map(|known| format!("`{}`", known.name()))
                .join(", ");
            format!("its architecture `{name}` is not one of {known}")
        })
    }

    /// The class in transformers.
    #[must_use]
    pub const fn class_name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The architecture that a model of these sizes is written as; none if no configuration of one can
    /// say all of them.
    #[must_use]
    pub const fn for_config(config: &ModelConfig) -> Option<Self> {
        match (config.qkv_bias, config.qk_norm, config.window.is_some()) {
            (false, false, false) => Some(Self::Llama),
            (false, false, true) => Some(Self::Mistral),
            (true, false, false) => Some(Self::Qwen2),
            (false, true, false) => Some(Self::Qwen3),
            _ => None,
        }
    }
}

/// The fields that are read; others say nothing about the computation.
#[derive(Deserialize)]
struct HfConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    hidden_act: Option<String>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    rope_theta: Option<f64>,
    rope_scaling: Option<HfRopeParameters>,
    /// As transformers 5 writes what used to be the two above.
    rope_parameters: Option<HfRopeParameters>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
}

#[derive(Clone, Deserialize)]
struct HfRopeParameters {
    #[serde(rename = "rope_type")]
    kind: Option<String>,
    /// The same, as it was called before; some configurations have both.
    #[serde(rename = "type")]
    old_kind: Option<String>,
    #[serde(rename = "rope_theta")]
    theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// The sizes in a `config.json`, the rows of its embedding, and its architecture.
///
/// # Errors
/// What is missing, or what is asked for that is not known here.
pub fn parse_config(json: &Value) -> Result<(ModelConfig, usize, Architecture), String> {
    let config = HfConfig::deserialize(json).map_err(|error| error.to_string())?;
    let architecture = Architecture::from_name(&config.model_type)?;
    check_supported(&config, architecture)?;
    let rope = config
        .rope_parameters
        .clone()
        .or_else(|| config.rope_scaling.clone());
    let theta = config
        .rope_theta
        .or(rope.as_ref().and_then(|rope| rope.theta))
        .unwrap_or(10_000.0);
    let heads = config.num_attention_heads;
    let sizes = ModelConfig {
        width: config.hidden_size,
        layers: config.num_hidden_layers,
        heads,
        kv_heads: config.num_key_value_heads.unwrap_or(heads),
        hidden: config.intermediate_size,
        positions: config.max_position_embeddings,
        rope_theta: theta,
        norm_epsilon: config.rms_norm_eps,
        tied: config.tie_word_embeddings,
        head_size: config
            .head_dim
            .filter(|size| size * heads != config.hidden_size),
        qkv_bias: architecture == Architecture::Qwen2,
        qk_norm: architecture == Architecture::Qwen3,
        window: sliding_window(&config, architecture),
        rope_scaling: rope.as_ref().map(rope_scaling).transpose()?.flatten(),
    };
    Ok((sizes, config.vocab_size, architecture))
}

/// Says what of a configuration cannot be computed here.
fn check_supported(config: &HfConfig, architecture: Architecture) -> Result<(), String> {
    let act = config.hidden_act.as_deref().unwrap_or("silu");
    if act != "silu" {
        return Err(format!("`hidden_act` is `{act}`; only `silu` is known"));
    }
    if config.attention_bias || config.mlp_bias {
        return Err(
            "`attention_bias` and `mlp_bias` are not known for this architecture".to_owned(),
        );
    }
    let is_qwen = matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3);
    if is_qwen && config.use_sliding_window == Some(true) {
        return Err("`use_sliding_window` is true; only full attention is known for it".to_owned());
    }
    Ok(())
}

fn sliding_window(config: &HfConfig, architecture: Architecture) -> Option<usize> {
    let window = config
        .sliding_window
        .filter(|_| architecture == Architecture::Mistral);
    window.filter(|&window| window < config.max_position_embeddings)
}

/// Takes a number that this kind of scaling cannot do without.
fn need(value: Option<f64>, name: &str) -> Result<f64, String> {
    value.ok_or(format!("rope scaling lacks `{name}`"))
}

fn rope_scaling(rope: &HfRopeParameters) -> Result<Option<RopeScaling>, String> {
    match rope
        .kind
        .as_deref()
        .or(rope.old_kind.as_deref())
        .unwrap_or("default")
    {
        "default" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear {
            factor: need(rope.factor, "factor")?,
        })),
        "llama3" => Ok(Some(RopeScaling::Llama3 {
            factor: need(rope.factor, "factor")?,
            low_frequency_factor: need(rope.low_freq_factor, "low_freq_factor")?,
            high_frequency_factor: need(rope.high_freq_factor, "high_freq_factor")?,
            original_positions: need(
                rope.original_max_position_embeddings,
                "original_max_position_embeddings",
            )?,
        })),
        other => Err(format!(
            "rope scaling `{other}` is not one of `default`, `linear`, `llama3`"
        )),
    }
}

/// A `config.json` that transformers reads, for a vocabulary of so many tokens.
///
/// # Errors
/// If no known architecture is like this.
pub fn config_json(config: &ModelConfig, vocabulary: usize) -> Result<Value, String> {
    let architecture = Architecture::for_config(config).ok_or(
        "no architecture that other programs know has two of `qkv_bias`, `qk_norm` and `window` at a time; a model of \
         these sizes can be used here alone",
    )?;
    let mut json = json!({
        "architectures": [architecture.class_name()],
        "model_type": architecture.name(),
        "vocab_size": vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size(),
        "max_position_embeddings": config.positions,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "torch_dtype": "float32",
    });
    if architecture == Architecture::Mistral {
        json["sliding_window"] = json!(config.window);
    }
    if let Some(scaling) = &config.rope_scaling {
        json["rope_scaling"] = rope_scaling_json(scaling);
    }
    Ok(json)
}

/// Writes how rotary frequencies are changed as transformers names it.
fn rope_scaling_json(scaling: &RopeScaling) -> Value {
    match scaling {
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_positions,
        } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_frequency_factor,
            "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_positions,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rope_scaling_may_be_named_twice() {
        let mut json = config_json(&ModelConfig::default(), 300).unwrap();
        json["rope_scaling"] = json!({ "rope_type": "linear", "type": "dynamic", "factor": 2.0 });
        let (read, _, _) = parse_config(&json).unwrap();
        assert_eq!(read.rope_scaling, Some(RopeScaling::Linear { factor: 2.0 }));
        json["rope_scaling"] = json!({ "type": "linear", "factor": 4.0 });
        assert_eq!(
            parse_config(&json).unwrap().0.rope_scaling,
            Some(RopeScaling::Linear { factor: 4.0 })
        );
    }

    #[test]
    fn what_no_architecture_says_is_not_written() {
        let plain = ModelConfig::default();
        for (qkv_bias, qk_norm, window, name) in [
            (false, false, None, Some("llama")),
            (false, false, Some(8), Some("mistral")),
            (true, false, None, Some("qwen2")),
            (false, true, None, Some("qwen3")),
            (true, true, None, None),
            (true, false, Some(8), None),
            (false, true, Some(8), None),
        ] {
            let config = ModelConfig {
                qkv_bias,
                qk_norm,
                window,
                ..plain.clone()
            };
            let written = config_json(&config, 300);
            match name {
                None => assert!(
                    written.unwrap_err().contains("no architecture"),
                    "{config:?}"
                ),
                Some(name) => {
                    let json = written.unwrap();
                    assert_eq!(json["model_type"], name);
                    assert_eq!(parse_config(&json).unwrap().0, config);
                }
            }
        }
    }
}
