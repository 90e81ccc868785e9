//! The weigh stage: episodes, or reference solutions, as weighted examples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::PromptConfig;
use crate::domain::{Episode, Key, PreferencePair, Problem, StepLabeledAttempt, TrainingExample};
use crate::train::{
    AttemptPool, attempt_preferences, correction_examples, deduplicate_turns, episode_examples,
    outcome_examples, refinement_examples, self_verification_examples, single_turn_examples,
    step_examples, trajectory_preferences,
};

use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, EPISODES, EXAMPLES, PAIRS, PROBLEMS, STEPS};
use crate::pipeline::{ExampleSource, StageError};

pub fn run(
    desk: &StageContext<'_>,
    problems: &Key,
    source: &ExampleSource,
    prompt: PromptConfig,
) -> Result<StageOutput, StageError> {
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let questions: BTreeMap<&str, &str> = problems
        .iter()
        .map(|p| (p.id.as_str(), p.question.as_str()))
        .collect();
    let layout = |id: &str, attempts: &[&str]| prompt.dialogue(questions[id], attempts);
    let (examples, counts) = match source {
        ExampleSource::Preferences {
            episodes,
            include_references: references,
            seed,
        } => {
            let episodes = read_episodes(desk, episodes)?;
            return write_pairs(
                desk,
                &attempt_preferences(
                    &AttemptPool::for_problems(&problems, &episodes, *references),
                    &layout,
                    *seed,
                ),
            );
        }
        ExampleSource::OutcomeLabels { episodes } => {
            let episodes = read_episodes(desk, episodes)?;
            with_counts(outcome_examples(
                &AttemptPool::for_problems(&problems, &episodes, false),
                prompt,
            ))
        }
        ExampleSource::StepLabels { steps } => {
            let traced: Vec<StepLabeledAttempt> =
                stage_files::read_jsonl(&desk.workspace.stage_file(steps, STEPS))?;
            with_counts(step_examples(&problems, &traced, prompt))
        }
        ExampleSource::Refinements {
            steps,
            include_references: references,
        } => {
            let traced: Vec<StepLabeledAttempt> =
                stage_files::read_jsonl(&desk.workspace.stage_file(steps, STEPS))?;
            with_counts(refinement_examples(&problems, &traced, prompt, *references))
        }
        ExampleSource::Trajectories { episodes } => {
            return write_pairs(
                desk,
                &trajectory_preferences(&problems, &read_episodes(desk, episodes)?, prompt),
            );
        }
        ExampleSource::Solutions { problems: count } => {
            let count = count.unwrap_or(problems.len()).min(problems.len());
            reference_examples(&problems[..count], prompt)
        }
        ExampleSource::Episodes {
            episodes,
            deduplicate,
            only_solved,
            selection,
            weighting,
        } => {
            let mut episodes: Vec<Episode> =
                stage_files::read_jsonl(&desk.workspace.stage_file(episodes, EPISODES))?;
            if *deduplicate {
                episodes = episodes.iter().map(deduplicate_turns).collect();
            }
            if *only_solved {
                episodes
                    .retain(|episode| episode.verdicts().iter().any(|verdict| verdict.is_right()));
            }
            let (examples, summary) =
                episode_examples(&episodes, &layout, None, *selection, *weighting);
            (
                examples,
                serde_json::to_value(summary).expect("counts are plain data"),
            )
        }
        ExampleSource::Attempts {
            episodes,
            right_only,
        } => {
            let episodes = read_episodes(desk, episodes)?;
            with_counts(single_turn_examples(
                &AttemptPool::for_problems(&problems, &episodes, false),
                &layout,
                *right_only,
            ))
        }
        ExampleSource::Pairs {
            episodes,
            include_references: references,
            keep_right,
            seed,
        } => {
            let episodes = read_episodes(desk, episodes)?;
            with_counts(correction_examples(
                &AttemptPool::for_problems(&problems, &episodes, *references),
                &layout,
                *keep_right,
                *seed,
            ))
        }
        ExampleSource::VerifiedAttempts {
            episodes,
            include_references: references,
            seed,
        } => {
            let episodes = read_episodes(desk, episodes)?;
            with_counts(self_verification_examples(
                &AttemptPool::for_problems(&problems, &episodes, *references),
                prompt,
                *seed,
            ))
        }
    };
    stage_files::write_jsonl(&desk.folder.join(EXAMPLES), &examples)?;
    Ok(StageOutput::new_without_backend(&[EXAMPLES], counts))
}

/// Pairs are a file of their own kind.
fn write_pairs(
    desk: &StageContext<'_>,
    pairs: &[PreferencePair],
) -> Result<StageOutput, StageError> {
    stage_files::write_jsonl(&desk.folder.join(PAIRS), pairs)?;
    Ok(StageOutput::new_without_backend(
        &[PAIRS],
        json!({ "pairs": pairs.len() }),
    ))
}

/// The episodes of several stages, in order.
fn read_episodes(desk: &StageContext<'_>, stages: &[Key]) -> Result<Vec<Episode>, StageError> {
    let mut episodes = Vec::new();
    for stage in stages {
        episodes.extend(stage_files::read_jsonl::<Episode>(
            &desk.workspace.stage_file(stage, EPISODES),
        )?);
    }
    Ok(episodes)
}

fn with_counts(examples: Vec<TrainingExample>) -> (Vec<TrainingExample>, Value) {
    let targets: usize = examples.iter().map(TrainingExample::target_count).sum();
    let counts = json!({ "examples": examples.len(), "targets": targets });
    (examples, counts)
}

/// Every problem that has a reference solution, answered with it.
fn reference_examples(problems: &[Problem], prompt: PromptConfig) -> (Vec<TrainingExample>, Value) {
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
    (examples, counts)
}
