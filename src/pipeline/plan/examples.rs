//! The steps that make training data of episodes and of reference solutions.

use serde_json::{Value, json};

use crate::data::SelfReview;
use crate::domain::Key;
use crate::pipeline::base_plan::prompt_key_content;
use crate::pipeline::{ExampleSource, StageKind, StageNode, StageSpec};
use crate::train::{RewardWeighting, TurnSelection};

use super::RunPlanner;

impl RunPlanner<'_> {
    /// Which attempts become targets, and how much each counts.
    pub fn weighted_examples(&mut self, name: &str, episodes: &Key) -> Key {
        let run = self.run;
        let source = ExampleSource::Episodes {
            episodes: episodes.clone(),
            deduplicate: run.deduplicate,
            only_solved: run.only_solved,
            selection: run.selection,
            weighting: run.weighting,
        };
        let mut content = json!({ "selection": run.selection, "weighting": run.weighting });
        for (option, chosen) in [
            ("deduplicate", run.deduplicate),
            ("only_solved", run.only_solved),
        ] {
            if chosen {
                content[option] = json!(true);
            }
        }
        if run.deduplicate && !run.collect.stop_on_success {
            // A key of its own: right attempts that were stood by once left as repeats.
            content["deduplicate"] = json!("failures");
        }
        let centred = matches!(
            run.weighting,
            RewardWeighting::Centered { .. } | RewardWeighting::CenteredExp { .. }
        );
        if centred && run.collect.trajectories > 1 {
            // Likewise: each trajectory once had a mean of its own.
            content["mean"] = json!("prompt");
        }
        let problems = self.train_problems.clone();
        self.add_examples(
            self.stage_label("weigh", name),
            &problems,
            source,
            vec![episodes.clone()],
            content,
        )
    }

    /// The right attempts of a capable model over several turns, each counting alike.
    pub fn boost_examples(&mut self, (problems, episodes): &(Key, Key)) -> Key {
        let (selection, weighting) = (TurnSelection::Success, RewardWeighting::Uniform);
        let source = ExampleSource::Episodes {
            episodes: episodes.clone(),
            deduplicate: false,
            only_solved: false,
            selection,
            weighting,
        };
        let content = json!({ "selection": selection, "weighting": weighting });
        self.add_examples(
            self.stage_label("weigh", "boost"),
            problems,
            source,
            vec![episodes.clone()],
            content,
        )
    }

    /// Attempts as answers to the plain question.
    pub fn single_turn_examples(&mut self, name: &str, episodes: &[Key], right_only: bool) -> Key {
        let source = ExampleSource::Attempts {
            episodes: episodes.to_vec(),
            right_only,
        };
        self.add_train_examples(
            name,
            source,
            episodes,
            json!({ "attempts": if right_only { "right" } else { "all" } }),
        )
    }

    /// Wrong attempts with a right one after each.
    pub fn correction_examples(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.can_train_on_references(), self.stage_seed("pairs"));
        let keep_right = !self.run.collect.stop_on_success;
        let source = ExampleSource::Pairs {
            episodes: episodes.to_vec(),
            include_references: references,
            keep_right,
            seed,
        };
        let content = json!({ "pairs": { "references": references, "keep_right": keep_right, "seed": seed } });
        self.add_train_examples(name, source, episodes, content)
    }

    /// Attempts with the verification that is due.
    pub fn verification_examples(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.can_train_on_references(), self.stage_seed("verified"));
        let source = ExampleSource::VerifiedAttempts {
            episodes: episodes.to_vec(),
            include_references: references,
            seed,
        };
        let texts = self.prompt().self_review_key(SelfReview::Verify);
        let content =
            json!({ "verified": { "references": references, "inquiry": texts, "seed": seed } });
        self.add_train_examples(name, source, episodes, content)
    }

    pub(super) fn add_train_examples(
        &mut self,
        name: &str,
        source: ExampleSource,
        episodes: &[Key],
        content: Value,
    ) -> Key {
        let problems = self.train_problems.clone();
        self.add_examples(
            self.stage_label("weigh", name),
            &problems,
            source,
            episodes.to_vec(),
            content,
        )
    }

    /// Reference solutions as examples of turn 1.
    pub fn reference_examples(&mut self, problems: Option<usize>) -> Key {
        let source = ExampleSource::Solutions { problems };
        let content = json!({ "solutions": problems });
        let problems = self.train_problems.clone();
        self.add_examples(
            self.stage_label("weigh", "solutions"),
            &problems,
            source,
            vec![],
            content,
        )
    }

    pub(super) fn add_examples(
        &mut self,
        label: String,
        problems: &Key,
        source: ExampleSource,
        mut inputs: Vec<Key>,
        mut content: Value,
    ) -> Key {
        let prompt = self.prompt();
        content["prompt"] = prompt_key_content(prompt);
        inputs.insert(0, problems.clone());
        let turns = self.expected_turns(&source);
        let job = StageSpec::BuildExamples {
            problems: problems.clone(),
            source,
            prompt,
        };
        let key = self.add_stage(StageNode::new(
            StageKind::BuildExamples,
            label,
            job,
            inputs,
            &content,
            0.5,
        ));
        self.turns_by_stage.insert(key.clone(), turns);
        key
    }

    /// About how many turns are trained on in an epoch over these examples.
    pub(super) fn total_expected_turns(&self, examples: &[Key]) -> usize {
        examples
            .iter()
            .filter_map(|key| self.turns_by_stage.get(key))
            .sum()
    }

    /// Of trajectories that go on most are right at the second turn; of samples about half are wrong, and
    /// about a third are given more than once.
    fn expected_turns(&self, source: &ExampleSource) -> usize {
        let problems = self.run.data.train;
        let samples = problems * self.run.samples_per_problem as usize;
        match source {
            ExampleSource::Solutions { problems: some } => some.unwrap_or(problems),
            ExampleSource::Episodes { .. } => 2 * problems * self.run.collect.trajectories as usize,
            ExampleSource::Attempts { right_only, .. } => {
                problems * if *right_only { 1 } else { 2 }
            }
            ExampleSource::Pairs { .. } | ExampleSource::VerifiedAttempts { .. } => samples,
            ExampleSource::OutcomeLabels { .. } | ExampleSource::Refinements { .. } => {
                samples * 2 / 3
            }
            // Two dialogues each; two beginnings of each.
            ExampleSource::Preferences { .. }
            | ExampleSource::Trajectories { .. }
            | ExampleSource::StepLabels { .. } => 2 * samples,
        }
    }
}
