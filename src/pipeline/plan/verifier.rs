//! The steps of methods that compare answers: preferences between them, and ranks by a verifier.

use serde_json::json;

use crate::data::{PromptConfig, SelfReview};
use crate::domain::Key;
use crate::pipeline::base_plan::prompt_key_content;
use crate::pipeline::{ExampleSource, StageKind, StageNode, StageSpec};

use super::RunPlanner;

impl RunPlanner<'_> {
    /// Right answers against wrong ones.
    pub fn preference_pairs(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (
            self.can_train_on_references(),
            self.stage_seed("preferences"),
        );
        let source = ExampleSource::Preferences {
            episodes: episodes.to_vec(),
            include_references: references,
            seed,
        };
        let content = json!({ "preferences": { "references": references, "seed": seed } });
        self.add_train_examples(name, source, episodes, content)
    }

    /// Dialogues that end right against dialogues that end wrong.
    pub fn trajectory_pairs(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::Trajectories {
            episodes: episodes.to_vec(),
        };
        let texts = self.prompt().self_review_key(SelfReview::Verify);
        let content = json!({ "trajectories": { "inquiry": texts } });
        self.add_train_examples(name, source, episodes, content)
    }

    /// The first attempts of an evaluation in a verifier's order; `generator` made them.
    pub fn rank_attempts(&mut self, name: &str, verifier: &Key, generator: &Key, evaluation: &Key) {
        let config = self.run.verifier;
        let prompt = PromptConfig {
            answer_form: self.run.eval_answer_form(),
            ..self.prompt()
        };
        let reference = config.ratio.then(|| generator.clone());
        let mut inputs = vec![
            self.eval_problems.clone(),
            evaluation.clone(),
            verifier.clone(),
        ];
        inputs.extend(reference.clone());
        let content = json!({ "samples": config.samples, "prompt": prompt_key_content(prompt) });
        let job = StageSpec::Rank {
            problems: self.eval_problems.clone(),
            task: self.run.eval_task().clone(),
            grader: self.eval_grader(),
            episodes: evaluation.clone(),
            verifier: verifier.clone(),
            reference,
            samples: config.samples,
            prompt,
            backend: self.run.backend.clone(),
        };
        let attempts = self.run.data.get(self.run.evaluate.split) * config.samples as usize;
        let estimate = self.estimator.sampling_seconds(attempts);
        let key = self.add_stage(StageNode::new(
            StageKind::Rank,
            self.stage_label("rank", name),
            job,
            inputs,
            &content,
            estimate,
        ));
        self.record_checkpoint(name, verifier, key);
    }
}
