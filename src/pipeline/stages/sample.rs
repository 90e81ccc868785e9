//! The sample stage: several attempts at every training problem, for methods that filter them.

use serde_json::json;

use crate::domain::{Episode, Problem};
use crate::pipeline::execute::{CHUNK, Desk, Made, WORKING};
use crate::pipeline::files::{self, EPISODES, PROBLEMS};
use crate::pipeline::{Job, StageError};
use crate::rollout::{Unroll, parallel, rationalise};

use super::collect::sampled;
use super::cost::Cost;

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Sample {
        problems,
        grader,
        policy,
        samples,
        rationalise: hinted,
        prompt,
        sampling,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut model = desk.model(policy, backend)?;
    let plan = Unroll::new(1, *prompt, *sampling);
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.in_chunks(
        (WORKING, CHUNK),
        &problems,
        |episodes: &Vec<Episode>| sampled(episodes),
        |chunk| {
            // Sample 0 belongs to sequential logs.
            let drawn = parallel(&mut model, chunk, &plan, samples + 1, *seed, &grade)?;
            let mut new: Vec<Vec<Episode>> = drawn
                .chunks(*samples as usize)
                .map(<[Episode]>::to_vec)
                .collect();
            if *hinted {
                let unsolved = chunk
                    .iter()
                    .zip(&new)
                    .filter(|(_, all)| !all.iter().any(Episode::ends_right));
                let unsolved: Vec<&Problem> = unsolved.map(|(problem, _)| problem).collect();
                let wording = (prompt, sampling);
                for episode in
                    rationalise(&mut model, &unsolved, wording, samples + 1, *seed, &grade)?
                {
                    let place = chunk
                        .iter()
                        .position(|problem| problem.id == episode.problem);
                    new[place.expect("the problem is of this chunk")].push(episode);
                }
            }
            Ok(new)
        },
    )?;
    let episodes = done.concat();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({
        "episodes": episodes.len(),
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
        "problems_solved": done.iter().filter(|all| all.iter().any(Episode::ends_right)).count(),
    });
    Cost::of_sampling(&episodes, &model).write(&mut counts);
    Ok(Made::plain(&[EPISODES], counts).on(backend))
}
