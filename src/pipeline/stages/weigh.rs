//! The weigh stage: episodes, or reference solutions, as weighted examples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::Prompt;
use crate::domain::{Episode, Example, Key, Preference, Problem, Traced};
use crate::train::{
    Pool, answers, deduplicated, examples, outcomes, pairs, preferences, refinements, stepwise,
    trajectories, verified,
};

use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EPISODES, EXAMPLES, PAIRS, PROBLEMS, STEPS};
use crate::pipeline::{ExampleSource, StageError};

pub fn run(
    desk: &Desk<'_>,
    problems: &Key,
    source: &ExampleSource,
    prompt: Prompt,
) -> Result<Made, StageError> {
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let questions: BTreeMap<&str, &str> = problems
        .iter()
        .map(|p| (p.id.as_str(), p.question.as_str()))
        .collect();
    let layout = |id: &str, attempts: &[&str]| prompt.dialogue(questions[id], attempts);
    let (examples, counts) = match source {
        ExampleSource::Preferences {
            episodes,
            references,
            seed,
        } => {
            let episodes = all(desk, episodes)?;
            return compared(
                desk,
                &preferences(
                    &Pool::all(&problems, &episodes, *references),
                    &layout,
                    *seed,
                ),
            );
        }
        ExampleSource::Outcomes { episodes } => {
            let episodes = all(desk, episodes)?;
            counted(outcomes(&Pool::all(&problems, &episodes, false), prompt))
        }
        ExampleSource::Stepwise { steps } => {
            let traced: Vec<Traced> = files::read(&desk.workspace.file(steps, STEPS))?;
            counted(stepwise(&problems, &traced, prompt))
        }
        ExampleSource::Refinements { steps, references } => {
            let traced: Vec<Traced> = files::read(&desk.workspace.file(steps, STEPS))?;
            counted(refinements(&problems, &traced, prompt, *references))
        }
        ExampleSource::Trajectories { episodes } => {
            return compared(
                desk,
                &trajectories(&problems, &all(desk, episodes)?, prompt),
            );
        }
        ExampleSource::Solutions { problems: count } => {
            let count = count.unwrap_or(problems.len()).min(problems.len());
            solutions(&problems[..count], prompt)
        }
        ExampleSource::Episodes {
            episodes,
            deduplicate,
            only_solved,
            selection,
            weighting,
        } => {
            let mut episodes: Vec<Episode> = files::read(&desk.workspace.file(episodes, EPISODES))?;
            if *deduplicate {
                episodes = episodes.iter().map(deduplicated).collect();
            }
            if *only_solved {
                episodes
                    .retain(|episode| episode.verdicts().iter().any(|verdict| verdict.is_right()));
            }
            let (examples, summary) = examples(&episodes, &layout, None, *selection, *weighting);
            (
                examples,
                serde_json::to_value(summary).expect("counts are plain data"),
            )
        }
        ExampleSource::Attempts {
            episodes,
            right_only,
        } => {
            let episodes = all(desk, episodes)?;
            counted(answers(
                &Pool::all(&problems, &episodes, false),
                &layout,
                *right_only,
            ))
        }
        ExampleSource::Pairs {
            episodes,
            references,
            keep_right,
            seed,
        } => {
            let episodes = all(desk, episodes)?;
            counted(pairs(
                &Pool::all(&problems, &episodes, *references),
                &layout,
                *keep_right,
                *seed,
            ))
        }
        ExampleSource::Verified {
            episodes,
            references,
            seed,
        } => {
            let episodes = all(desk, episodes)?;
            counted(verified(
                &Pool::all(&problems, &episodes, *references),
                prompt,
                *seed,
            ))
        }
    };
    files::write(&desk.folder.join(EXAMPLES), &examples)?;
    Ok(Made::plain(&[EXAMPLES], counts))
}

/// Pairs are a file of their own kind.
fn compared(desk: &Desk<'_>, pairs: &[Preference]) -> Result<Made, StageError> {
    files::write(&desk.folder.join(PAIRS), pairs)?;
    Ok(Made::plain(&[PAIRS], json!({ "pairs": pairs.len() })))
}

/// The episodes of several stages, in order.
fn all(desk: &Desk<'_>, stages: &[Key]) -> Result<Vec<Episode>, StageError> {
    let mut episodes = Vec::new();
    for stage in stages {
        episodes.extend(files::read::<Episode>(
            &desk.workspace.file(stage, EPISODES),
        )?);
    }
    Ok(episodes)
}

fn counted(examples: Vec<Example>) -> (Vec<Example>, Value) {
    let targets: usize = examples.iter().map(Example::targets).sum();
    let counts = json!({ "examples": examples.len(), "targets": targets });
    (examples, counts)
}

/// Every problem that has a reference solution, answered with it.
fn solutions(problems: &[Problem], prompt: Prompt) -> (Vec<Example>, Value) {
    let examples: Vec<Example> = problems
        .iter()
        .filter_map(|problem| {
            let opening = prompt.opening(&problem.question);
            Some(Example::answered(&opening.text, problem.solution.as_ref()?))
        })
        .collect();
    let counts = json!({
        "examples": examples.len(), "targets": examples.len(),
        "without_solution": problems.len() - examples.len(),
    });
    (examples, counts)
}
