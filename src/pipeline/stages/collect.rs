//! The collect stage: the policy's own turns on the training problems.

use serde_json::json;

use crate::domain::{Author, Episode, Problem};
use crate::rollout::{Unroll, rollout};

use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EPISODES, Growing, PROBLEMS};
use crate::pipeline::{Job, StageError};

/// Problems that are unrolled together; what is lost at most when a stage is killed.
pub const CHUNK: usize = 250;

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Collect { problems, grader, policy, foreign, turns, prompt, sampling, seed, backend, .. } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut model = desk.model(policy, backend)?;
    let plan = Unroll {
        turns: *turns,
        window: None,
        stop_on_success: true,
        prompt: *prompt,
        sampling: *sampling,
        author: if *foreign { Author::Other } else { Author::Policy },
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let (mut file, mut episodes) = Growing::open::<Episode>(&desk.folder.join(EPISODES))?;
    desk.tokens = sampled(&episodes);
    while episodes.len() < problems.len() {
        desk.problems_done(episodes.len(), problems.len())?;
        let chunk = &problems[episodes.len()..problems.len().min(episodes.len() + CHUNK)];
        let new = rollout(&mut model, chunk, &plan, *seed, &grade)?;
        file.append(&new)?;
        desk.tokens += sampled(&new);
        episodes.extend(new);
    }
    desk.problems_done(problems.len(), problems.len())?;
    let counts = json!({
        "episodes": episodes.len(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
        "sampled_tokens": desk.tokens,
    });
    Ok(Made::plain(&[EPISODES], counts).on(backend))
}

/// Tokens sampled for these episodes.
pub fn sampled(episodes: &[Episode]) -> u64 {
    let turns = episodes.iter().flat_map(|episode| &episode.turns);
    turns.flat_map(|turn| &turn.candidates).map(|candidate| u64::from(candidate.tokens)).sum()
}
