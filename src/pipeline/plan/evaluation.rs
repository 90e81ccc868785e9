//! The steps that test a checkpoint: evaluations, analyses, ranks and refinements.

use crate::data::{PromptConfig, SelfReview};
use crate::domain::Key;
use crate::pipeline::stage_graph::ScoredCheckpoint;
use crate::pipeline::stages::{
    EvaluateStage, GloreCheckpoints, LikelihoodStage, RankStage, RefineStage, SamplingTask,
    UnsolvedStage,
};
use crate::rollout::{CheckpointSelection, TurnProtocol};

use super::RunPlanner;

/// The evaluation of one checkpoint.
pub struct PendingEvaluation {
    name: String,
    policy: Key,
    protocol: TurnProtocol,
    samples: u32,
    /// Own turns before the improved one in its training data.
    trained_turns: u32,
}

impl RunPlanner<'_> {
    /// The sequential log and parallel first turns, by the run's protocol.
    pub fn evaluate(&mut self, name: &str, policy: &Key, trained_turns: u32) {
        self.evaluate_with_protocol(self.run.evaluate.protocol, name, policy, trained_turns);
    }

    /// The same by another protocol.
    pub fn evaluate_with_protocol(
        &mut self,
        protocol: TurnProtocol,
        name: &str,
        policy: &Key,
        trained_turns: u32,
    ) {
        let evaluation = PendingEvaluation {
            name: name.to_owned(),
            policy: policy.clone(),
            protocol,
            samples: self.run.evaluate.samples,
            trained_turns,
        };
        match self.run.evaluate.checkpoints {
            CheckpointSelection::All => drop(self.add_evaluation(evaluation)),
            CheckpointSelection::Last => self.pending_evaluation = Some(evaluation),
        }
    }

    /// The evaluation of a single-turn policy, with at least `samples` first attempts.
    pub fn evaluate_with_samples(&mut self, name: &str, policy: &Key, samples: u32) -> Key {
        self.add_evaluation(PendingEvaluation {
            name: name.to_owned(),
            policy: policy.clone(),
            protocol: self.run.evaluate.protocol,
            samples: samples.max(self.run.evaluate.samples),
            trained_turns: 1,
        })
    }

    /// The evaluation of the last checkpoint, unless another evaluation has followed it.
    pub fn evaluate_last_checkpoint(&mut self) {
        if let Some(evaluation) = self.pending_evaluation.take() {
            self.add_evaluation(evaluation);
        }
    }

    /// The first attempts of an evaluation of `generator` in a verifier's order.
    pub fn rank_attempts(&mut self, name: &str, verifier: &Key, generator: &Key, evaluation: &Key) {
        let config = self.run.verifier;
        let on = self.on_eval.clone();
        let stage = RankStage {
            problems: on.problems,
            task: on.task,
            grader: on.grader,
            episodes: evaluation.clone(),
            verifier: verifier.clone(),
            reference: config.ratio.then(|| generator.clone()),
            samples: config.samples,
            prompt: self.single_turn_prompt(),
            backend: on.backend,
        };
        let key = self.add_named(name, stage);
        self.record_checkpoint(name, verifier, key);
    }

    /// Drafts on the evaluated problems, refined and reranked.
    pub fn refine_drafts(&mut self, name: &str, checkpoints: GloreCheckpoints) {
        let weights = checkpoints.global_refiner.clone();
        let on = SamplingTask {
            prompt: self.single_turn_prompt(),
            // The first drafts are the first attempts of the generator's own evaluation.
            ..self.on_eval("evaluate")
        };
        let inquiry = self.on_train.prompt.self_review_key(SelfReview::Verify);
        let stage = RefineStage {
            on,
            checkpoints,
            inquiry,
        };
        let key = self.add_named(name, stage);
        self.record_checkpoint(name, &weights, key);
    }

    /// The training texts with the answer form of the evaluated task.
    fn single_turn_prompt(&self) -> PromptConfig {
        PromptConfig {
            answer_form: self.run.eval_answer_form(),
            ..self.on_train.prompt
        }
    }

    /// Notes a checkpoint and the stage of its scores; it is the last one now.
    fn record_checkpoint(&mut self, name: &str, weights: &Key, evaluation: Key) {
        self.pending_evaluation = None;
        self.run_stages.checkpoints.push(ScoredCheckpoint {
            name: name.to_owned(),
            weights: weights.clone(),
            evaluation,
        });
    }

    fn add_evaluation(&mut self, evaluation: PendingEvaluation) -> Key {
        let PendingEvaluation {
            name,
            policy,
            protocol,
            samples,
            trained_turns,
        } = evaluation;
        let config = &self.run.evaluate;
        let window = config.window.max_shown_attempts(trained_turns.max(1));
        let stage = EvaluateStage {
            on: self.on_eval("evaluate"),
            policy: policy.clone(),
            turns: config.turns,
            samples,
            window,
            protocol,
            oracle: config.oracle,
        };
        let key = self.add_named(&name, stage);
        self.record_checkpoint(&name, &policy, key.clone());
        self.add_analyses(&name, &policy, window);
        key
    }

    /// The analyses of an evaluated checkpoint.
    fn add_analyses(&mut self, name: &str, policy: &Key, window: Option<u32>) {
        let config = &self.run.analyses;
        if !config.unsolved.is_empty() {
            let stage = UnsolvedStage {
                on: self.on_eval("unsolved"),
                policy: policy.clone(),
                turns: self.run.evaluate.turns,
                window,
                budgets: config.unsolved.clone(),
            };
            let key = self.add_named(name, stage);
            self.record_checkpoint(name, policy, key);
        }
        if config.likelihood_rollouts > 0 {
            let stage = LikelihoodStage {
                on: self.on_eval("likelihood"),
                policy: policy.clone(),
                turns: config.likelihood_turns,
                window,
                rollouts: config.likelihood_rollouts,
            };
            let key = self.add_named(name, stage);
            self.record_checkpoint(name, policy, key);
        }
    }
}
