//! The steps that make training data of episodes and of reference solutions.

use serde_json::{Value, json};

use crate::data::Inquiry;
use crate::domain::Key;
use crate::pipeline::base_plan::texts;
use crate::pipeline::{ExampleSource, Job, Kind, Stage};
use crate::train::{Selection, Weighting};

use super::Plan;

impl Plan<'_> {
    /// Which attempts become targets, and how much each counts.
    pub fn weigh(&mut self, name: &str, episodes: &Key) -> Key {
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
            Weighting::Centered { .. } | Weighting::CenteredExp { .. }
        );
        if centred && run.collect.trajectories > 1 {
            // Likewise: each trajectory once had a mean of its own.
            content["mean"] = json!("prompt");
        }
        let problems = self.train.clone();
        self.examples(
            self.label("weigh", name),
            &problems,
            source,
            vec![episodes.clone()],
            content,
        )
    }

    /// The right attempts of a capable model over several turns, each counting alike.
    pub fn imitate(&mut self, (problems, episodes): &(Key, Key)) -> Key {
        let (selection, weighting) = (Selection::Success, Weighting::Uniform);
        let source = ExampleSource::Episodes {
            episodes: episodes.clone(),
            deduplicate: false,
            only_solved: false,
            selection,
            weighting,
        };
        let content = json!({ "selection": selection, "weighting": weighting });
        self.examples(
            self.label("weigh", "boost"),
            problems,
            source,
            vec![episodes.clone()],
            content,
        )
    }

    /// Attempts as answers to the plain question.
    pub fn answers(&mut self, name: &str, episodes: &[Key], right_only: bool) -> Key {
        let source = ExampleSource::Attempts {
            episodes: episodes.to_vec(),
            right_only,
        };
        self.filtered(
            name,
            source,
            episodes,
            json!({ "attempts": if right_only { "right" } else { "all" } }),
        )
    }

    /// Wrong attempts with a right one after each.
    pub fn pairs(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.has_references(), self.seed("pairs"));
        let keep_right = !self.run.collect.stop_on_success;
        let source = ExampleSource::Pairs {
            episodes: episodes.to_vec(),
            references,
            keep_right,
            seed,
        };
        let content = json!({ "pairs": { "references": references, "keep_right": keep_right, "seed": seed } });
        self.filtered(name, source, episodes, content)
    }

    /// Attempts with the verification that is due.
    pub fn verified(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.has_references(), self.seed("verified"));
        let source = ExampleSource::Verified {
            episodes: episodes.to_vec(),
            references,
            seed,
        };
        let texts = self.prompt().inquiry_key(Inquiry::Verify);
        let content =
            json!({ "verified": { "references": references, "inquiry": texts, "seed": seed } });
        self.filtered(name, source, episodes, content)
    }

    pub(super) fn filtered(
        &mut self,
        name: &str,
        source: ExampleSource,
        episodes: &[Key],
        content: Value,
    ) -> Key {
        let problems = self.train.clone();
        self.examples(
            self.label("weigh", name),
            &problems,
            source,
            episodes.to_vec(),
            content,
        )
    }

    /// Reference solutions as examples of turn 1.
    pub fn solutions(&mut self, problems: Option<usize>) -> Key {
        let source = ExampleSource::Solutions { problems };
        let content = json!({ "solutions": problems });
        let problems = self.train.clone();
        self.examples(
            self.label("weigh", "solutions"),
            &problems,
            source,
            vec![],
            content,
        )
    }

    pub(super) fn examples(
        &mut self,
        label: String,
        problems: &Key,
        source: ExampleSource,
        mut inputs: Vec<Key>,
        mut content: Value,
    ) -> Key {
        let prompt = self.prompt();
        content["prompt"] = texts(prompt);
        inputs.insert(0, problems.clone());
        let turns = self.expected_turns(&source);
        let job = Job::Weigh {
            problems: problems.clone(),
            source,
            prompt,
        };
        let key = self.add(Stage::new(Kind::Weigh, label, job, inputs, &content, 0.5));
        self.turns.insert(key.clone(), turns);
        key
    }

    /// About how many turns are trained on in an epoch over these examples.
    pub(super) fn turns(&self, examples: &[Key]) -> usize {
        examples.iter().filter_map(|key| self.turns.get(key)).sum()
    }

    /// Of trajectories that go on most are right at the second turn; of samples about half are wrong, and
    /// about a third are given more than once.
    fn expected_turns(&self, source: &ExampleSource) -> usize {
        let problems = self.run.data.train;
        let samples = problems * self.run.candidates as usize;
        match source {
            ExampleSource::Solutions { problems: some } => some.unwrap_or(problems),
            ExampleSource::Episodes { .. } => 2 * problems * self.run.collect.trajectories as usize,
            ExampleSource::Attempts { right_only, .. } => {
                problems * if *right_only { 1 } else { 2 }
            }
            ExampleSource::Pairs { .. } | ExampleSource::Verified { .. } => samples,
            ExampleSource::Outcomes { .. } | ExampleSource::Refinements { .. } => samples * 2 / 3,
            // Two dialogues each; two beginnings of each.
            ExampleSource::Preferences { .. }
            | ExampleSource::Trajectories { .. }
            | ExampleSource::Stepwise { .. } => 2 * samples,
        }
    }
}
