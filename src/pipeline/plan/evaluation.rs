//! The steps that put a checkpoint to problems: evaluations and analyses.

use serde_json::{Value, json};

use crate::config::canonical_json;
use crate::domain::Key;
use crate::pipeline::base_plan::prompt_key_content;
use crate::pipeline::stage_spec::EvalTarget;
use crate::pipeline::{StageKind, StageNode, StageSpec};
use crate::rollout::{CheckpointSelection, EvaluateConfig, TurnProtocol};

use super::RunPlanner;

/// A checkpoint that is put to problems.
pub struct PendingEvaluation {
    name: String,
    policy: Key,
    protocol: TurnProtocol,
    samples: u32,
    /// Own turns before the improved one that it was trained on.
    trained_turns: u32,
}

impl RunPlanner<'_> {
    /// The sequential log and parallel first turns, by the protocol that is asked for.
    pub fn evaluate(&mut self, name: &str, policy: &Key, trained: u32) {
        self.evaluate_with_protocol(self.run.evaluate.protocol, name, policy, trained);
    }

    /// The same by another protocol.
    pub fn evaluate_with_protocol(
        &mut self,
        protocol: TurnProtocol,
        name: &str,
        policy: &Key,
        trained: u32,
    ) {
        let samples = self.run.evaluate.samples;
        let evaluation = PendingEvaluation {
            name: name.to_owned(),
            policy: policy.clone(),
            protocol,
            samples,
            trained_turns: trained,
        };
        match self.run.evaluate.checkpoints {
            CheckpointSelection::All => drop(self.add_evaluation(evaluation)),
            CheckpointSelection::Last => self.pending_evaluation = Some(evaluation),
        }
    }

    /// The evaluation of a policy that knows single turns, with at least so many first attempts.
    pub fn evaluate_with_samples(&mut self, name: &str, policy: &Key, samples: u32) -> Key {
        let run = &self.run.evaluate;
        let (protocol, samples) = (run.protocol, samples.max(run.samples));
        self.add_evaluation(PendingEvaluation {
            name: name.to_owned(),
            policy: policy.clone(),
            protocol,
            samples,
            trained_turns: 1,
        })
    }

    /// The evaluation of the last checkpoint, if nothing else was to be evaluated after it.
    pub fn evaluate_last_checkpoint(&mut self) {
        if let Some(evaluation) = self.pending_evaluation.take() {
            self.add_evaluation(evaluation);
        }
    }

    /// A checkpoint and the stage that its scores come from; what was the last one before it no longer is.
    pub(super) fn record_checkpoint(&mut self, name: &str, policy: &Key, key: Key) {
        self.pending_evaluation = None;
        self.run_stages
            .checkpoints
            .push((name.to_owned(), policy.clone(), key));
    }

    fn add_evaluation(&mut self, evaluation: PendingEvaluation) -> Key {
        let PendingEvaluation {
            name,
            policy,
            protocol,
            samples,
            trained_turns: trained,
        } = evaluation;
        let config = EvaluateConfig {
            samples,
            ..self.run.evaluate.clone()
        };
        let window = config.window.max_shown_attempts(trained.max(1));
        let seed = self.stage_seed("evaluate");
        let prompt = self.eval_prompt();
        let mut content = json!({
            "task": self.eval_task_fingerprint, "grader": self.eval_grader().identity(), "turns": config.turns, "samples": config.samples,
            "window": window, "prompt": prompt_key_content(prompt), "sampling": canonical_json(&config.sampling), "seed": seed,
        });
        if config.oracle {
            content["oracle"] = json!(true);
        }
        if let Some(inquiry) = protocol.self_review() {
            content["protocol"] = json!(protocol);
            content["inquiry"] = json!(prompt.self_review_key(inquiry));
        }
        let inputs = vec![self.eval_problems.clone(), policy.clone()];
        let problems = self.run.data.get(config.split);
        let estimate = self
            .estimator
            .evaluation_seconds(problems, config.turns, config.samples);
        let job = StageSpec::Evaluate {
            problems: self.eval_problems.clone(),
            task: self.run.eval_task().clone(),
            grader: self.eval_grader(),
            policy: policy.clone(),
            turns: config.turns,
            samples: config.samples,
            window,
            protocol,
            oracle: config.oracle,
            prompt,
            sampling: config.sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let label = self.stage_label("evaluate", &name);
        let key = self.add_stage(StageNode::new(
            StageKind::Evaluate,
            label,
            job,
            inputs,
            &content,
            estimate,
        ));
        self.record_checkpoint(&name, &policy, key.clone());
        self.add_analyses(&name, &policy, window);
        key
    }

    /// The analyses of an evaluated checkpoint.
    fn add_analyses(&mut self, name: &str, policy: &Key, window: Option<u32>) {
        let config = self.run.analyses.clone();
        if let Some(most) = config.unsolved.last() {
            let asked = self.eval_target(policy, self.run.evaluate.turns, window, "unsolved");
            let content = self.eval_target_content(&asked, &json!({ "budgets": config.unsolved }));
            let attempts =
                self.run.data.get(self.run.evaluate.split) * (asked.turns * most * 2) as usize;
            let (estimate, label) = (
                self.estimator.sampling_seconds(attempts),
                self.stage_label("unsolved", name),
            );
            let job = StageSpec::Unsolved {
                target: asked,
                budgets: config.unsolved,
            };
            self.add_analysis(
                StageKind::Unsolved,
                (name, label),
                policy,
                job,
                &content,
                estimate,
            );
        }
        if config.likelihood_rollouts > 0 {
            let rollouts = config.likelihood_rollouts;
            let asked = self.eval_target(policy, config.likelihood_turns, window, "likelihood");
            let content = self.eval_target_content(&asked, &json!({ "rollouts": rollouts }));
            let attempts =
                self.run.data.get(self.run.evaluate.split) * (asked.turns * rollouts) as usize;
            let (estimate, label) = (
                self.estimator.sampling_seconds(attempts),
                self.stage_label("likelihood", name),
            );
            let job = StageSpec::Likelihood {
                target: asked,
                rollouts,
            };
            self.add_analysis(
                StageKind::Likelihood,
                (name, label),
                policy,
                job,
                &content,
                estimate,
            );
        }
    }

    fn add_analysis(
        &mut self,
        kind: StageKind,
        (name, label): (&str, String),
        policy: &Key,
        job: StageSpec,
        content: &Value,
        estimate: f64,
    ) {
        let inputs = vec![self.eval_problems.clone(), policy.clone()];
        let key = self.add_stage(StageNode::new(kind, label, job, inputs, content, estimate));
        self.record_checkpoint(name, policy, key);
    }

    fn eval_target(
        &self,
        policy: &Key,
        turns: u32,
        window: Option<u32>,
        stage: &str,
    ) -> EvalTarget {
        let config = &self.run.evaluate;
        EvalTarget {
            problems: self.eval_problems.clone(),
            task: self.run.eval_task().clone(),
            grader: self.eval_grader(),
            policy: policy.clone(),
            turns,
            window,
            prompt: self.eval_prompt(),
            sampling: config.sampling,
            seed: self.stage_seed(stage),
            backend: self.run.backend.clone(),
        }
    }

    fn eval_target_content(&self, asked: &EvalTarget, analysis: &Value) -> Value {
        json!({
            "task": self.eval_task_fingerprint, "grader": asked.grader.identity(), "analysis": analysis, "turns": asked.turns,
            "window": asked.window, "prompt": prompt_key_content(asked.prompt), "sampling": canonical_json(&asked.sampling),
            "seed": asked.seed,
        })
    }
}
