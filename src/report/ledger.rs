//! What checkpoints cost: the counts of all stages that they descend from, each stage once.
//!
//! Responsible for the split between what it took to make the weights and what it took to evaluate
//! them, and for operations where stages do not count them themselves. A base model's own
//! pre-training is left out: it is given, as in the paper. Must not know what a kind of stage does,
//! beyond which of its counts are tokens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::domain::Key;
use crate::store::{StageRow, Status};

use super::Checkpoint;

/// Kinds whose work is given before an experiment begins.
const GIVEN: [&str; 3] = ["prepare", "tokenize", "base"];

/// Operations per parameter and token read or sampled: a multiplication and an addition.
const FORWARD: f64 = 2.0;

/// Operations per parameter and token trained: forward, and twice as much backward (Kaplan et al. 2020).
const TRAINED: f64 = 6.0;

/// What some stages took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Tokens sampled from models.
    pub sampled: f64,
    /// Tokens trained on, once per epoch.
    pub trained: f64,
    /// Questions put to a teacher.
    pub teacher_calls: f64,
    /// Floating-point operations; none where neither they nor a model's size were counted.
    pub flops: Option<f64>,
    /// Tokens shown to and answered by models behind an API, whose operations are not known.
    #[serde(skip_serializing_if = "is_nothing")]
    pub remote: f64,
    /// What those tokens cost at the prices that the experiment names.
    #[serde(skip_serializing_if = "is_nothing")]
    pub price: f64,
    /// Wall-clock seconds, which depend on the machine.
    pub seconds: f64,
}

/// Only some experiments ask a model behind an API.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_nothing(amount: &f64) -> bool {
    *amount == 0.0
}

impl Spent {
    fn plus(self, other: Self) -> Self {
        Self {
            sampled: self.sampled + other.sampled,
            trained: self.trained + other.trained,
            teacher_calls: self.teacher_calls + other.teacher_calls,
            flops: self.flops.zip(other.flops).map(|(a, b)| a + b),
            remote: self.remote + other.remote,
            price: self.price + other.price,
            seconds: self.seconds + other.seconds,
        }
    }

    /// The arithmetic mean; none of nothing.
    #[must_use]
    pub fn mean(all: &[Self]) -> Option<Self> {
        let count = all.len() as f64;
        let sum = all.iter().copied().reduce(Self::plus)?;
        Some(Self {
            sampled: sum.sampled / count,
            trained: sum.trained / count,
            teacher_calls: sum.teacher_calls / count,
            flops: sum.flops.map(|flops| flops / count),
            remote: sum.remote / count,
            price: sum.price / count,
            seconds: sum.seconds / count,
        })
    }
}

/// What a checkpoint took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// To make its weights from the base model, and whatever else was trained for its evaluation.
    pub training: Spent,
    /// To evaluate it.
    pub evaluation: Spent,
}

/// The stages of some runs, and what reads what.
#[derive(Clone, Debug)]
pub struct Ledger<'s> {
    stages: BTreeMap<&'s Key, &'s StageRow>,
    inputs: &'s BTreeMap<Key, Vec<Key>>,
}

impl<'s> Ledger<'s> {
    /// A ledger of these stages.
    #[must_use]
    pub fn of(stages: &'s [StageRow], inputs: &'s BTreeMap<Key, Vec<Key>>) -> Self {
        Self {
            stages: stages.iter().map(|stage| (&stage.key, stage)).collect(),
            inputs,
        }
    }

    /// What a checkpoint took; none before all of its stages are done.
    #[must_use]
    pub fn cost(&self, checkpoint: &Checkpoint) -> Option<Cost> {
        let all = self.ancestry(&checkpoint.evaluation);
        let mut training = self.ancestry(&checkpoint.weights);
        for key in &all {
            // A verifier, say, is trained for an evaluation without being the checkpoint.
            if self.count(key, "trained_tokens").is_some() {
                training.extend(self.ancestry(key));
            }
        }
        let evaluation: BTreeSet<&Key> = all.difference(&training).copied().collect();
        Some(Cost {
            training: self.sum(&training)?,
            evaluation: self.sum(&evaluation)?,
        })
    }

    /// A stage and all that it was made from, without what is given.
    fn ancestry(&self, key: &Key) -> BTreeSet<&'s Key> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Key> = vec![key];
        while let Some(key) = open.pop() {
            let Some((&key, stage)) = self.stages.get_key_value(key) else {
                continue;
            };
            if !GIVEN.contains(&stage.kind.as_str()) && found.insert(key) {
                open.extend(self.inputs.get(key).into_iter().flatten());
            }
        }
        found
    }

    fn sum(&self, keys: &BTreeSet<&Key>) -> Option<Spent> {
        let nothing = Spent {
            flops: Some(0.0),
            ..Spent::default()
        };
        keys.iter()
            .try_fold(nothing, |sum, key| Some(sum.plus(self.spent(key)?)))
    }

    fn spent(&self, key: &Key) -> Option<Spent> {
        let stage = self
            .stages
            .get(key)
            .filter(|stage| stage.status == Status::Done)?;
        let count = |name: &str| self.count(key, name).unwrap_or(0.0);
        let (read, sampled, trained) = (
            count("prompt_tokens"),
            count("sampled_tokens"),
            count("trained_tokens"),
        );
        let per_parameter = FORWARD * (read + sampled) + TRAINED * trained;
        let derived = || {
            if per_parameter > 0.0 {
                self.parameters(key).map(|size| size * per_parameter)
            } else {
                Some(0.0)
            }
        };
        Some(Spent {
            sampled,
            trained,
            teacher_calls: count("teacher_calls"),
            flops: self.count(key, "flops").or_else(derived),
            remote: count("remote_prompt_tokens") + count("remote_completion_tokens"),
            price: count("remote_price"),
            seconds: stage.seconds.unwrap_or(0.0),
        })
    }

    fn count(&self, key: &Key, name: &str) -> Option<f64> {
        self.stages
            .get(key)?
            .counts
            .get(name)
            .and_then(Value::as_f64)
    }

    /// The size of the model that a stage works with: its own count, or that of the nearest stage
    /// that it was made from.
    fn parameters(&self, key: &Key) -> Option<f64> {
        let mut seen: BTreeSet<&Key> = BTreeSet::new();
        let mut open: VecDeque<&Key> = VecDeque::from([key]);
        while let Some(key) = open.pop_front() {
            if let Some(size) = self.count(key, "parameters") {
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
            key: Key::of(name),
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

    /// A model of 100 parameters: two rounds on the union of their data, the second from the base again.
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
        let keys = |names: &[&str]| names.iter().map(|name| Key::of(*name)).collect();
        (
            stages,
            inputs
                .into_iter()
                .map(|(name, inputs)| (Key::of(name), keys(inputs)))
                .collect(),
        )
    }

    fn second() -> Checkpoint {
        Checkpoint {
            name: "round 2".to_owned(),
            weights: Key::of("round 2"),
            evaluation: Key::of("evaluate 2"),
        }
    }

    #[test]
    fn what_a_checkpoint_descends_from_is_counted_once_by_hand() {
        let (stages, inputs) = graph(&json!(100));
        let cost = Ledger::of(&stages, &inputs).cost(&second()).unwrap();
        // Collections 1 and 2; rounds 1 and 2 and the verifier; 900 seconds of pre-training are given.
        // Operations: 100 * 2 * 1,500, then 7 as counted, then 100 * 6 * 9,100.
        let expected = Spent {
            sampled: 3_000.0,
            trained: 9_100.0,
            teacher_calls: 40.0,
            flops: Some(300_000.0 + 7.0 + 5_460_000.0),
            seconds: 88.0,
            ..Spent::default()
        };
        assert_eq!(cost.training, expected);
        let expected = Spent {
            sampled: 10_000.0,
            flops: Some(2_000_000.0),
            seconds: 3.0,
            ..Spent::default()
        };
        assert_eq!(cost.evaluation, expected);
    }

    #[test]
    fn what_a_model_behind_an_api_took_is_counted_apart_from_operations() {
        let (mut stages, inputs) = graph(&json!(100));
        stages[3].counts = json!({
            "teacher_calls": 40, "remote_prompt_tokens": 900, "remote_completion_tokens": 100, "remote_price": 0.25
        });
        let cost = Ledger::of(&stages, &inputs)
            .cost(&second())
            .unwrap()
            .training;
        assert_eq!((cost.remote, cost.price), (1_000.0, 0.25));
        assert_eq!((cost.sampled, cost.flops), (3_000.0, Some(5_760_007.0)));
        let json = serde_json::to_value(Spent::default()).unwrap();
        assert!(json.get("remote").is_none() && json.get("price").is_none());
    }

    #[test]
    fn without_a_models_size_tokens_are_known_and_operations_are_not() {
        let (stages, inputs) = graph(&Value::Null);
        let cost = Ledger::of(&stages, &inputs).cost(&second()).unwrap();
        assert_eq!(
            (
                cost.training.sampled,
                cost.training.flops,
                cost.evaluation.flops
            ),
            (3_000.0, None, None)
        );
    }

    #[test]
    fn an_unfinished_stage_leaves_the_cost_open_and_a_base_model_costs_its_evaluation() {
        let (mut stages, mut inputs) = graph(&json!(100));
        inputs.insert(Key::of("evaluate 2"), vec![Key::of("base")]);
        let base = Checkpoint {
            weights: Key::of("base"),
            ..second()
        };
        let cost = Ledger::of(&stages, &inputs).cost(&base).unwrap();
        assert_eq!(
            cost.training,
            Spent {
                flops: Some(0.0),
                ..Spent::default()
            }
        );
        assert_eq!(cost.evaluation.flops, Some(2_000_000.0));
        stages[6].status = Status::Running;
        assert_eq!(Ledger::of(&stages, &inputs).cost(&second()), None);
    }
}
