//! The weigh stage: episodes, or reference solutions, as weighted examples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::Prompt;
use crate::domain::{Episode, Example, Key, Problem};
use crate::train::examples;

use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EPISODES, EXAMPLES, PROBLEMS};
use crate::pipeline::stage::ExampleSource;

pub fn run(
    desk: &Desk<'_>,
    problems: &Key,
    source: &ExampleSource,
    prompt: Prompt,
) -> Result<Made, StageError> {
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let (examples, counts) = match source {
        ExampleSource::Solutions { problems: count } => {
            let count = count.unwrap_or(problems.len()).min(problems.len());
            solutions(&problems[..count], prompt)
        }
        ExampleSource::Episodes { episodes, selection, weighting } => {
            let episodes: Vec<Episode> = files::read(&desk.workspace.file(episodes, EPISODES))?;
            let questions: BTreeMap<&str, &str> =
                problems.iter().map(|p| (p.id.as_str(), p.question.as_str())).collect();
            let layout = |id: &str, attempts: &[&str]| prompt.dialogue(questions[id], attempts);
            let (examples, summary) = examples(&episodes, &layout, None, *selection, *weighting);
            (examples, serde_json::to_value(summary).expect("counts are plain data"))
        }
    };
    files::write(&desk.folder.join(EXAMPLES), &examples)?;
    Ok(Made::plain(&[EXAMPLES], counts))
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
