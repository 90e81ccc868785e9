//! The compute of a checkpoint: the counts of all stages that it descends from, each stage once.
//!
//! Training and evaluation are counted apart. A base model's own pre-training is given, as in the
//! paper, and not counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::domain::Key;
use crate::store::{StageRow, Status};

use super::EvaluatedCheckpoint;

/// Kinds whose work is given before an experiment begins.
const EXCLUDED_KINDS: [&str; 3] = ["prepare", "tokenize", "base"];

/// Operations per parameter and token read or sampled: a multiplication and an addition.
const FORWARD_FLOPS: f64 = 2.0;

/// Operations per parameter and trained token: forward, twice that backward (Kaplan et al. 2020).
const TRAINING_FLOPS: f64 = 6.0;

/// The compute of some stages together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ComputeUsage {
    /// Tokens sampled from models.
    #[serde(rename = "sampled")]
    pub sampled_tokens: f64,
    /// Tokens trained on, once per epoch.
    #[serde(rename = "trained")]
    pub trained_tokens: f64,
    /// Questions to a teacher.
    pub teacher_calls: f64,
    /// Floating-point operations; none where neither they nor a model's size were counted.
    pub flops: Option<f64>,
    /// Prompt and answer tokens of API models, whose operations are unknown.
    #[serde(skip_serializing_if = "is_nothing")]
    #[serde(rename = "remote")]
    pub api_tokens: f64,
    /// The price of those tokens, where the experiment names prices.
    #[serde(skip_serializing_if = "is_nothing")]
    #[serde(rename = "price")]
    pub api_price: f64,
    /// Wall-clock seconds, which depend on the machine.
    pub seconds: f64,
}

/// Only some experiments use an API model.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_nothing(amount: &f64) -> bool {
    *amount == 0.0
}

impl ComputeUsage {
    fn plus(self, other: Self) -> Self {
        Self {
            sampled_tokens: self.sampled_tokens + other.sampled_tokens,
            trained_tokens: self.trained_tokens + other.trained_tokens,
            teacher_calls: self.teacher_calls + other.teacher_calls,
            flops: self.flops.zip(other.flops).map(|(a, b)| a + b),
            api_tokens: self.api_tokens + other.api_tokens,
            api_price: self.api_price + other.api_price,
            seconds: self.seconds + other.seconds,
        }
    }

    /// The arithmetic mean; none of nothing.
    #[must_use]
    pub fn mean(all: &[Self]) -> Option<Self> {
        let count = all.len() as f64;
        let sum = all.iter().copied().reduce(Self::plus)?;
        Some(Self {
            sampled_tokens: sum.sampled_tokens / count,
            trained_tokens: sum.trained_tokens / count,
            teacher_calls: sum.teacher_calls / count,
            flops: sum.flops.map(|flops| flops / count),
            api_tokens: sum.api_tokens / count,
            api_price: sum.api_price / count,
            seconds: sum.seconds / count,
        })
    }
}

/// The compute of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CheckpointUsage {
    /// To make its weights from the base model, and to train verifiers for its evaluation.
    pub training: ComputeUsage,
    /// To evaluate it.
    pub evaluation: ComputeUsage,
}

/// The stages of some runs and their inputs.
#[derive(Clone, Debug)]
pub struct ComputeAccount<'s> {
    stages: BTreeMap<&'s Key, &'s StageRow>,
    inputs: &'s BTreeMap<Key, Vec<Key>>,
}

impl<'s> ComputeAccount<'s> {
    /// An account of these stages.
    #[must_use]
    pub fn new(stages: &'s [StageRow], inputs: &'s BTreeMap<Key, Vec<Key>>) -> Self {
        Self {
            stages: stages.iter().map(|stage| (&stage.key, stage)).collect(),
            inputs,
        }
    }

    /// The compute of a checkpoint; none before all of its stages are done.
    #[must_use]
    pub fn checkpoint_usage(&self, checkpoint: &EvaluatedCheckpoint) -> Option<CheckpointUsage> {
        let all = self.ancestor_stages(&checkpoint.evaluation);
        let mut training = self.ancestor_stages(&checkpoint.weights);
        for key in &all {
            // A verifier, say, is trained for an evaluation without being the checkpoint.
            if self.stage_count(key, "trained_tokens").is_some() {
                training.extend(self.ancestor_stages(key));
            }
        }
        let evaluation: BTreeSet<&Key> = all.difference(&training).copied().collect();
        Some(CheckpointUsage {
            training: self.sum_usage(&training)?,
            evaluation: self.sum_usage(&evaluation)?,
        })
    }

    /// A stage and all its ancestors, without the stages that are given.
    fn ancestor_stages(&self, key: &Key) -> BTreeSet<&'s Key> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Key> = vec![key];
        while let Some(key) = open.pop() {
            let Some((&key, stage)) = self.stages.get_key_value(key) else {
                continue;
            };
            if !EXCLUDED_KINDS.contains(&stage.kind.as_str()) && found.insert(key) {
                open.extend(self.inputs.get(key).into_iter().flatten());
            }
        }
        found
    }

    fn sum_usage(&self, keys: &BTreeSet<&Key>) -> Option<ComputeUsage> {
        let nothing = ComputeUsage {
            flops: Some(0.0),
            ..ComputeUsage::default()
        };
        keys.iter()
            .try_fold(nothing, |sum, key| Some(sum.plus(self.stage_usage(key)?)))
    }

    fn stage_usage(&self, key: &Key) -> Option<ComputeUsage> {
        let stage = self
            .stages
            .get(key)
            .filter(|stage| stage.status == Status::Done)?;
        let count = |name: &str| self.stage_count(key, name).unwrap_or(0.0);
        let (read, sampled, trained) = (
            count("prompt_tokens"),
            count("sampled_tokens"),
            count("trained_tokens"),
        );
        let per_parameter = FORWARD_FLOPS * (read + sampled) + TRAINING_FLOPS * trained;
        let derived = || {
            if per_parameter > 0.0 {
                self.model_size(key).map(|size| size * per_parameter)
            } else {
                Some(0.0)
            }
        };
        Some(ComputeUsage {
            sampled_tokens: sampled,
            trained_tokens: trained,
            teacher_calls: count("teacher_calls"),
            flops: self.stage_count(key, "flops").or_else(derived),
            api_tokens: count("remote_prompt_tokens") + count("remote_completion_tokens"),
            api_price: count("remote_price"),
            seconds: stage.seconds.unwrap_or(0.0),
        })
    }

    fn stage_count(&self, key: &Key, name: &str) -> Option<f64> {
        self.stages
            .get(key)?
            .counts
            .get(name)
            .and_then(Value::as_f64)
    }

    /// The size of a stage's model: its own count, or that of its nearest ancestor.
    fn model_size(&self, key: &Key) -> Option<f64> {
        let mut seen: BTreeSet<&Key> = BTreeSet::new();
        let mut open: VecDeque<&Key> = VecDeque::from([key]);
        while let Some(key) = open.pop_front() {
            if let Some(size) = self.stage_count(key, "parameters") {
                return Some(size);
            }
            let inputs = self.inputs.get(key).into_iter().flatten();
            open.extend(inputs.filter(|key| seen.insert(key)));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stage(name: &str, kind: &str, seconds: f64, counts: Value) -> StageRow {
        StageRow {
            key: Key::from_value(name),
            kind: kind.to_owned(),
            label: name.to_owned(),
            status: Status::Done,
            seconds: Some(seconds),
            counts,
            origin: json!({}),
            error: None,
            attempts: 1,
            peak_bytes: None,
        }
    }

    /// A model of 100 parameters: two rounds from the base on the union of their data.
    fn graph(size: &Value) -> (Vec<StageRow>, BTreeMap<Key, Vec<Key>>) {
        let stages = vec![
            stage("problems", "prepare", 1.0, json!({})),
            stage(
                "base",
                "base",
                900.0,
                json!({ "trained_tokens": 1_000_000, "parameters": size }),
            ),
            stage(
                "collect 1",
                "collect",
                10.0,
                json!({ "sampled_tokens": 1_000, "prompt_tokens": 500 }),
            ),
            stage(
                "improve 1",
                "improve",
                2.0,
                json!({ "teacher_calls": 40, "sampled_tokens": 0 }),
            ),
            stage("round 1", "train", 20.0, json!({ "trained_tokens": 3_000 })),
            stage(
                "collect 2",
                "collect",
                11.0,
                json!({ "sampled_tokens": 2_000, "flops": 7 }),
            ),
            stage("round 2", "train", 40.0, json!({ "trained_tokens": 6_000 })),
            stage("verifier", "train", 5.0, json!({ "trained_tokens": 100 })),
            stage(
                "evaluate 2",
                "evaluate",
                3.0,
                json!({ "sampled_tokens": 10_000, "prompt_tokens": 0 }),
            ),
        ];
        let inputs: [(&str, &[&str]); 7] = [
            ("collect 1", &["problems", "base"]),
            ("improve 1", &["problems", "collect 1"]),
            ("round 1", &["base", "improve 1"]),
            ("collect 2", &["problems", "round 1"]),
            ("round 2", &["base", "improve 1", "collect 2"]),
            ("verifier", &["base", "collect 2"]),
            ("evaluate 2", &["problems", "round 2", "verifier"]),
        ];
        let keys = |names: &[&str]| names.iter().map(|name| Key::from_value(*name)).collect();
        (
            stages,
            inputs
                .into_iter()
                .map(|(name, inputs)| (Key::from_value(name), keys(inputs)))
                .collect(),
        )
    }

    fn second() -> EvaluatedCheckpoint {
        EvaluatedCheckpoint {
            name: "round 2".into(),
            weights: Key::from_value("round 2"),
            evaluation: Key::from_value("evaluate 2"),
        }
    }

    #[test]
    fn what_a_checkpoint_descends_from_is_counted_once_by_hand() {
        let (stages, inputs) = graph(&json!(100));
        let cost = ComputeAccount::new(&stages, &inputs)
            .checkpoint_usage(&second())
            .unwrap();
        // Collections 1 and 2; rounds 1 and 2 and the verifier; without 900 seconds of pre-training.
        // Operations: 100 * 2 * 1,500, then 7 as counted, then 100 * 6 * 9,100.
        let expected = ComputeUsage {
            sampled_tokens: 3_000.0,
            trained_tokens: 9_100.0,
            teacher_calls: 40.0,
            flops: Some(300_000.0 + 7.0 + 5_460_000.0),
            seconds: 88.0,
            ..ComputeUsage::default()
        };
        assert_eq!(cost.training, expected);
        let expected = ComputeUsage {
            sampled_tokens: 10_000.0,
            flops: Some(2_000_000.0),
            seconds: 3.0,
            ..ComputeUsage::default()
        };
        assert_eq!(cost.evaluation, expected);
    }

    #[test]
    fn what_a_model_behind_an_api_took_is_counted_apart_from_operations() {
        let (mut stages, inputs) = graph(&json!(100));
        stages[3].counts = json!({
            "teacher_calls": 40, "remote_prompt_tokens": 900, "remote_completion_tokens": 100, "remote_price": 0.25
        });
        let cost = ComputeAccount::new(&stages, &inputs)
            .checkpoint_usage(&second())
            .unwrap()
            .training;
        assert_eq!((cost.api_tokens, cost.api_price), (1_000.0, 0.25));
        assert_eq!(
            (cost.sampled_tokens, cost.flops),
            (3_000.0, Some(5_760_007.0))
        );
        let json = serde_json::to_value(ComputeUsage::default()).unwrap();
        assert!(json.get("remote").is_none() && json.get("price").is_none());
    }

    #[test]
    fn without_a_models_size_tokens_are_known_and_operations_are_not() {
        let (stages, inputs) = graph(&Value::Null);
        let cost = ComputeAccount::new(&stages, &inputs)
            .checkpoint_usage(&second())
            .unwrap();
        assert_eq!(
            (
                cost.training.sampled_tokens,
                cost.training.flops,
                cost.evaluation.flops
            ),
            (3_000.0, None, None)
        );
    }

    #[test]
    fn an_unfinished_stage_leaves_the_cost_open_and_a_base_model_costs_its_evaluation() {
        let (mut stages, mut inputs) = graph(&json!(100));
        inputs.insert(Key::from_value("evaluate 2"), vec![Key::from_value("base")]);
        let base = EvaluatedCheckpoint {
            weights: Key::from_value("base"),
            ..second()
        };
        let cost = ComputeAccount::new(&stages, &inputs)
            .checkpoint_usage(&base)
            .unwrap();
        assert_eq!(
            cost.training,
            ComputeUsage {
                flops: Some(0.0),
                ..ComputeUsage::default()
            }
        );
        assert_eq!(cost.evaluation.flops, Some(2_000_000.0));
        stages[6].status = Status::Running;
        assert_eq!(
            ComputeAccount::new(&stages, &inputs).checkpoint_usage(&second()),
            None
        );
    }
}
