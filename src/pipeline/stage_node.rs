//! One node of the graph of work, and its key.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::canonical_json;
use crate::data::{GraderConfig, PromptConfig};
use crate::domain::{Key, SamplingConfig};
use crate::train::TrainConfig;

use super::stage::StageKind;
use super::stage_spec::StageSpec;

/// One node of the graph of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageNode {
    /// Its identity.
    pub key: Key,
    /// What kind of work it is.
    pub kind: StageKind,
    /// Readable name, e.g. `train weak round 2`.
    pub label: String,
    /// The stage itself.
    pub spec: StageSpec,
    /// The stages whose files it reads.
    pub inputs: Vec<Key>,
    /// Expected seconds on one core of a laptop; only for plans and progress.
    #[serde(rename = "estimate")]
    pub estimated_seconds: f64,
}

impl StageNode {
    /// A stage with its key, which is made of its kind, its fields and its inputs.
    #[must_use]
    pub fn new(label: String, stage: impl Into<StageSpec>, estimated_seconds: f64) -> Self {
        let spec = stage.into();
        let (kind, inputs) = (spec.stage().kind(), spec.stage().inputs());
        let key = Key::from_value(&json!({
            "kind": kind,
            "version": kind.version(),
            "content": key_content(&spec, &inputs),
            "inputs": inputs,
        }));
        Self {
            key,
            kind,
            label,
            spec,
            inputs,
            estimated_seconds,
        }
    }
}

/// The content of a stage's key: its serialised fields, by the rules of [`keyed_field`], without
/// the inputs, which the key names beside it, and in the form of [`Stage::map_key`].
///
/// A new field enters the key by itself; paths, devices and worker counts never do.
///
/// [`Stage::map_key`]: super::stage::Stage::map_key
fn key_content(spec: &StageSpec, inputs: &[Key]) -> Value {
    let Value::Object(fields) = spec.fields() else {
        unreachable!("a stage is a struct with named fields")
    };
    let mut content: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| {
            let value = without_inputs(keyed_field(&name, value)?, inputs)?;
            Some((name, value))
        })
        .collect();
    spec.stage().map_key(&mut content);
    Value::Object(content)
}

/// A field as a key holds it; none if it changes no result.
fn keyed_field(name: &str, value: Value) -> Option<Value> {
    Some(match name {
        "backend" => return None,
        // The files' content stands for their place.
        "task" => value["fingerprint"].clone(),
        "grader" => json!(parse::<GraderConfig>(value).identity()),
        "prompt" => keyed_prompt(parse(value)),
        "sampling" => canonical_json::<SamplingConfig>(&parse(value)),
        "train" => canonical_json::<TrainConfig>(&parse(value)),
        _ => value,
    })
}

/// The texts around attempts: settings, and the templates behind them.
pub(super) fn keyed_prompt(prompt: PromptConfig) -> Value {
    json!({ "settings": prompt, "templates": prompt.template_key() })
}

fn parse<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the field was serialised from this type")
}

/// A value without the keys of inputs; none if it names nothing else.
fn without_inputs(value: Value, inputs: &[Key]) -> Option<Value> {
    let is_input = |value: &Value| inputs.iter().any(|key| value == key.as_str());
    match value {
        Value::Object(members) => Some(Value::Object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, without_inputs(value, inputs)?)))
                .collect(),
        )),
        Value::Array(items) if !items.is_empty() && items.iter().all(is_input) => None,
        value if is_input(&value) => None,
        value => Some(value),
    }
}
