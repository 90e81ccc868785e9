//! The weigh stage: episodes or reference solutions as weighted examples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::{PromptConfig, SelfReview};
use crate::domain::{Episode, Key, PreferencePair, Problem, StepLabeledAttempt, TrainingExample};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::{EPISODES, EXAMPLES, PAIRS, PROBLEMS, STEPS};
use crate::pipeline::time_estimate::RunSizes;
use crate::train::{
    AttemptPool, DialogueLayout, RewardWeighting, attempt_preferences, correction_examples,
    deduplicate_turns, episode_examples, outcome_examples, refinement_examples,
    self_verification_examples, single_turn_examples, step_examples, trajectory_preferences,
};

use super::example_source::ExampleSource;

/// Turn episodes or reference solutions into weighted examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildExamplesStage {
    /// The stage with the problems.
    pub problems: Key,
    /// The source of the examples.
    #[serde(flatten)]
    pub source: ExampleSource,
    /// The texts around attempts.
    pub prompt: PromptConfig,
}

/// The rows that the stage writes.
enum ExampleSet {
    Examples(Vec<TrainingExample>, Value),
    Pairs(Vec<PreferencePair>),
}

impl Stage for BuildExamplesStage {
    fn kind(&self) -> StageKind {
        StageKind::BuildExamples
    }

    fn inputs(&self) -> Vec<Key> {
        let mut inputs = vec![self.problems.clone()];
        inputs.extend(self.source.stages().iter().cloned());
        inputs
    }

    /// The source's settings, and the texts that it adds to dialogues.
    fn map_key(&self, content: &mut Map<String, Value>) {
        let verify = || json!(self.prompt.self_review_key(SelfReview::Verify));
        match &self.source {
            ExampleSource::Episodes { .. } => map_episodes_key(&self.source, content),
            ExampleSource::Attempts { right_only, .. } => {
                content["attempts"] = json!(if *right_only { "right" } else { "all" });
            }
            ExampleSource::Refinements { .. } => {
                content["refinements"]["request"] = json!(PromptConfig::refinement_key());
            }
            ExampleSource::Trajectories { .. } => content["trajectories"]["inquiry"] = verify(),
            ExampleSource::OutcomeLabels { .. } => content["outcomes"]["inquiry"] = verify(),
            ExampleSource::StepLabels { .. } => content["stepwise"]["inquiry"] = verify(),
            ExampleSource::VerifiedAttempts { .. } => content["verified"]["inquiry"] = verify(),
            ExampleSource::Solutions(_)
            | ExampleSource::Pairs { .. }
            | ExampleSource::Preferences { .. } => {}
        }
    }

    fn estimated_seconds(&self, _: &RunSizes) -> f64 {
        0.5
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let (file, counts) = match self.build(context)? {
            ExampleSet::Examples(examples, counts) => {
                context.write_rows(EXAMPLES, &examples)?;
                (EXAMPLES, counts)
            }
            ExampleSet::Pairs(pairs) => {
                context.write_rows(PAIRS, &pairs)?;
                (PAIRS, json!({ "pairs": pairs.len() }))
            }
        };
        Ok(StageOutput::new_without_backend(&[file], counts))
    }
}

/// Episodes lie flat in keys. Right attempts that a trajectory leaves behind once counted as
/// repeats, and each trajectory once had its own mean, so these two cases have their own keys.
fn map_episodes_key(source: &ExampleSource, content: &mut Map<String, Value>) {
    let ExampleSource::Episodes {
        deduplicate,
        weighting,
        continues_after_success,
        several_trajectories,
        ..
    } = source
    else {
        return;
    };
    let Some(Value::Object(mut fields)) = content.remove("episodes") else {
        return;
    };
    fields.remove("continues_after_success");
    fields.remove("several_trajectories");
    content.extend(fields);
    if *deduplicate && *continues_after_success {
        content.insert("deduplicate".to_owned(), json!("failures"));
    }
    let centred = matches!(
        weighting,
        RewardWeighting::Centered { .. } | RewardWeighting::CenteredExp { .. }
    );
    if centred && *several_trajectories {
        content.insert("mean".to_owned(), json!("prompt"));
    }
}

impl BuildExamplesStage {
    fn build(&self, context: &StageContext<'_>) -> Result<ExampleSet, StageError> {
        let (source, prompt) = (&self.source, self.prompt);
        let problems: Vec<Problem> = context.read_rows(&self.problems, PROBLEMS)?;
        let questions: BTreeMap<&str, &str> = problems
            .iter()
            .map(|p| (p.id.as_str(), p.question.as_str()))
            .collect();
        let layout = |id: &str, attempts: &[&str]| prompt.dialogue(questions[id], attempts);
        Ok(match source {
            ExampleSource::Solutions(count) => {
                let count = count.unwrap_or(problems.len()).min(problems.len());
                reference_examples(&problems[..count], prompt)
            }
            ExampleSource::StepLabels { steps } => {
                let labeled: Vec<StepLabeledAttempt> = context.read_rows(steps, STEPS)?;
                counted(step_examples(&problems, &labeled, prompt))
            }
            ExampleSource::Refinements {
                steps,
                include_references: references,
            } => {
                let labeled: Vec<StepLabeledAttempt> = context.read_rows(steps, STEPS)?;
                counted(refinement_examples(
                    &problems,
                    &labeled,
                    prompt,
                    *references,
                ))
            }
            ExampleSource::Trajectories { episodes } => {
                let episodes: Vec<Episode> = context.read_all_rows(episodes, EPISODES)?;
                ExampleSet::Pairs(trajectory_preferences(&problems, &episodes, prompt))
            }
            ExampleSource::Episodes {
                episodes,
                deduplicate,
                only_solved,
                selection,
                weighting,
                ..
            } => {
                let episodes = context.read_rows(episodes, EPISODES)?;
                let episodes = kept_episodes(episodes, *deduplicate, *only_solved);
                let (examples, summary) =
                    episode_examples(&episodes, &layout, None, *selection, *weighting);
                let counts = serde_json::to_value(summary).expect("counts are plain data");
                ExampleSet::Examples(examples, counts)
            }
            _ => {
                let episodes: Vec<Episode> = context.read_all_rows(source.stages(), EPISODES)?;
                let references = source.include_references();
                let pools = AttemptPool::for_problems(&problems, &episodes, references);
                examples_of_pools(source, &pools, &layout, prompt)
            }
        })
    }
}

/// The examples of sources that pool the attempts at each problem.
fn examples_of_pools(
    source: &ExampleSource,
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    prompt: PromptConfig,
) -> ExampleSet {
    match source {
        ExampleSource::Attempts { right_only, .. } => {
            counted(single_turn_examples(pools, layout, *right_only))
        }
        ExampleSource::Pairs {
            keep_right, seed, ..
        } => counted(correction_examples(pools, layout, *keep_right, *seed)),
        ExampleSource::Preferences { seed, .. } => {
            ExampleSet::Pairs(attempt_preferences(pools, layout, *seed))
        }
        ExampleSource::VerifiedAttempts { seed, .. } => {
            counted(self_verification_examples(pools, prompt, *seed))
        }
        _ => counted(outcome_examples(pools, prompt)),
    }
}

/// Episodes without repeats and without unsolved problems, where that is asked for.
fn kept_episodes(mut episodes: Vec<Episode>, deduplicate: bool, only_solved: bool) -> Vec<Episode> {
    if deduplicate {
        episodes = episodes.iter().map(deduplicate_turns).collect();
    }
    if only_solved {
        episodes.retain(|episode| episode.verdicts().iter().any(|verdict| verdict.is_right()));
    }
    episodes
}

fn counted(examples: Vec<TrainingExample>) -> ExampleSet {
    let targets: usize = examples.iter().map(TrainingExample::target_count).sum();
    let counts = json!({ "examples": examples.len(), "targets": targets });
    ExampleSet::Examples(examples, counts)
}

/// Every problem that has a reference solution, answered with it.
fn reference_examples(problems: &[Problem], prompt: PromptConfig) -> ExampleSet {
    let examples: Vec<TrainingExample> = problems
        .iter()
        .filter_map(|problem| {
            let opening = prompt.opening_message(&problem.question);
            Some(TrainingExample::single_turn(
                &opening.text,
                problem.solution.as_ref()?,
            ))
        })
        .collect();
    let counts = json!({
        "examples": examples.len(), "targets": examples.len(),
        "without_solution": problems.len() - examples.len(),
    });
    ExampleSet::Examples(examples, counts)
}
