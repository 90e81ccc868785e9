//! The steps stage: samples judged step by step, by going on from each step.

use serde_json::json;

use crate::domain::{Episode, Problem, Traced};
use crate::pipeline::execute::{Desk, Made, WORKING};
use crate::pipeline::files::{self, EPISODES, PROBLEMS, STEPS};
use crate::pipeline::{Job, StageError};
use crate::rollout::{Onward, Trace, Tracing, trace};
use crate::train::Pool;

use super::cost::Cost;

/// Problems whose attempts are judged together.
const CHUNK: usize = 50;
pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Steps {
        problems,
        grader,
        episodes,
        policy,
        glore,
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
    let episodes: Vec<Episode> = files::read(&desk.workspace.file(episodes, EPISODES))?;
    let pools = Pool::all(&problems, &episodes, false);
    let asked: Vec<Tracing<'_>> = pools
        .iter()
        .map(|pool| chosen(pool, glore.attempts as usize))
        .collect();
    let mut model = desk.model(policy, backend)?;
    let onward = Onward {
        prompt: *prompt,
        sampling: *sampling,
        rollouts: glore.rollouts,
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.in_chunks(
        (WORKING, CHUNK),
        &asked,
        |trace: &Trace| trace.sampled,
        |chunk| Ok(trace(&mut model, chunk, onward, *seed, &grade)?),
    )?;
    let (prompt, sampled) = (done.iter().map(|trace| trace.prompt).sum(), desk.tokens);
    let traced: Vec<Traced> = done.into_iter().flat_map(|trace| trace.attempts).collect();
    files::write(&desk.folder.join(STEPS), &traced)?;
    let steps = || traced.iter().flat_map(|traced| &traced.steps);
    let mut counts = json!({
        "attempts": traced.len(),
        "right": traced.iter().filter(|traced| traced.right).count(),
        "steps": steps().count(),
        "good": steps().filter(|step| step.completed.is_some()).count(),
    });
    let parameters = model.decoder.weights().count() as u64;
    Cost {
        parameters,
        prompt,
        sampled,
        ..Cost::default()
    }
    .write(&mut counts);
    Ok(Made::plain(&[STEPS], counts).on(backend))
}

/// So many attempts, wrong ones first; one of them is right where any is.
fn chosen<'a>(pool: &Pool<'a>, attempts: usize) -> Tracing<'a> {
    let right = pool
        .right
        .len()
        .min(attempts.saturating_sub(pool.wrong.len()).max(1));
    let wrong = pool.wrong.len().min(attempts - right.min(attempts));
    Tracing {
        problem: pool.problem,
        wrong: pool.wrong[..wrong].to_vec(),
        right: pool.right[..right].to_vec(),
        afresh: pool.right.first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_attempts_come_first_and_a_right_one_is_among_them() {
        let problem = Problem {
            id: "p".to_owned(),
            question: "?".to_owned(),
            answer: "1".to_owned(),
            solution: None,
        };
        let counts = |wrong: usize, right: usize| {
            let pool = Pool {
                problem: &problem,
                wrong: vec!["w"; wrong],
                right: vec!["r"; right],
            };
            let chosen = chosen(&pool, 4);
            assert_eq!(chosen.afresh.is_some(), right > 0);
            (chosen.wrong.len(), chosen.right.len())
        };
        assert_eq!(counts(8, 0), (4, 0));
        assert_eq!(counts(8, 5), (3, 1));
        assert_eq!(counts(2, 5), (2, 2));
        assert_eq!(counts(0, 9), (0, 4));
        assert_eq!(counts(1, 1), (1, 1));
    }
}
