//! The steps that turn episodes and reference solutions into training data.

use crate::domain::Key;
use crate::pipeline::stages::{BuildExamplesStage, ExampleSource};
use crate::train::{RewardWeighting, TurnSelection};

use super::{BoostRollouts, RunPlanner};

impl RunPlanner<'_> {
    /// The selected attempts of improved episodes, with their weights.
    pub fn weighted_examples(&mut self, name: &str, episodes: &Key) -> Key {
        let run = self.run;
        let source = ExampleSource::Episodes {
            episodes: episodes.clone(),
            deduplicate: run.deduplicate,
            only_solved: run.only_solved,
            selection: run.selection,
            weighting: run.weighting,
            continues_after_success: !run.collect.stop_on_success,
            several_trajectories: run.collect.trajectories > 1,
        };
        self.add_examples(name, source)
    }

    /// The right attempts of a capable model over several turns, with equal weights.
    pub fn boost_examples(&mut self, rollouts: BoostRollouts) -> Key {
        let source = ExampleSource::Episodes {
            episodes: rollouts.episodes,
            deduplicate: false,
            only_solved: false,
            selection: TurnSelection::Success,
            weighting: RewardWeighting::Uniform,
            continues_after_success: false,
            several_trajectories: false,
        };
        self.add_examples_on("boost", rollouts.problems, source)
    }

    /// Reference solutions as examples of turn 1; without a number, those of all problems.
    pub fn reference_examples(&mut self, problems: Option<usize>) -> Key {
        self.add_examples("solutions", ExampleSource::Solutions(problems))
    }

    /// Attempts as answers to the plain question.
    pub fn single_turn_examples(&mut self, name: &str, episodes: &[Key], right_only: bool) -> Key {
        let source = ExampleSource::Attempts {
            episodes: episodes.to_vec(),
            right_only,
        };
        self.add_examples(name, source)
    }

    /// Wrong attempts with a right one after each.
    pub fn correction_examples(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::Pairs {
            episodes: episodes.to_vec(),
            include_references: self.can_train_on_references(),
            keep_right: !self.run.collect.stop_on_success,
            seed: self.stage_seed("pairs"),
        };
        self.add_examples(name, source)
    }

    /// Attempts with their right verification.
    pub fn verification_examples(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::VerifiedAttempts {
            episodes: episodes.to_vec(),
            include_references: self.can_train_on_references(),
            seed: self.stage_seed("verified"),
        };
        self.add_examples(name, source)
    }

    /// Right answers against wrong ones.
    pub fn preference_pairs(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::Preferences {
            episodes: episodes.to_vec(),
            include_references: self.can_train_on_references(),
            seed: self.stage_seed("preferences"),
        };
        self.add_examples(name, source)
    }

    /// Dialogues that end right against dialogues that end wrong.
    pub fn trajectory_pairs(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::Trajectories {
            episodes: episodes.to_vec(),
        };
        self.add_examples(name, source)
    }

    /// Attempts with their verdicts.
    pub fn outcome_examples(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::OutcomeLabels {
            episodes: episodes.to_vec(),
        };
        self.add_examples(name, source)
    }

    /// Beginnings of attempts, each with a verdict: is a right answer within reach?
    pub fn step_examples(&mut self, name: &str, steps: &Key) -> Key {
        let source = ExampleSource::StepLabels {
            steps: steps.clone(),
        };
        self.add_examples(name, source)
    }

    /// Wrong attempts, each with its first wrong step and a right attempt that keeps the others.
    pub fn refinement_examples(&mut self, name: &str, steps: &Key) -> Key {
        let source = ExampleSource::Refinements {
            steps: steps.clone(),
            include_references: self.can_train_on_references(),
        };
        self.add_examples(name, source)
    }

    fn add_examples(&mut self, name: &str, source: ExampleSource) -> Key {
        self.add_examples_on(name, self.on_train.problems.clone(), source)
    }

    fn add_examples_on(&mut self, name: &str, problems: Key, source: ExampleSource) -> Key {
        let turns = source.expected_turns(&self.sizes);
        let stage = BuildExamplesStage {
            problems,
            source,
            prompt: self.on_train.prompt,
        };
        let key = self.add_named(name, stage);
        self.sizes.turns_by_stage.insert(key.clone(), turns);
        key
    }
}
