//! Further independent first attempts: samples 1, 2, ... of the first turn.
//!
//! Sample 0 is the first turn of the sequential log. One request per problem carries all seeds, so a
//! policy reads the question once.

use crate::domain::{Episode, Policy, PolicyError, PolicyRequest, Problem, Seed, Turn};

use super::graded_policy::{GradeFn, GradedPolicy, GradedRequest, attempt_seed};
use super::sequential::RolloutConfig;

/// Samples the first turns `1..samples` of every problem, each as an episode of one turn.
///
/// `samples` counts the log's own first turn, so `samples - 1` episodes per problem come back,
/// problem by problem. Of the plan, the prompt, the sampling and the author are used. With the
/// seed of the sequential log, the samples and the log's first turn are independent draws.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn parallel_samples(
    policy: &mut dyn Policy,
    problems: &[Problem],
    plan: &RolloutConfig,
    samples: u32,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<Vec<Episode>, PolicyError> {
    if samples < 2 {
        return Ok(Vec::new());
    }
    let asked = problems
        .iter()
        .map(|problem| {
            let dialogue = plan.prompt.dialogue(&problem.question, &[]);
            let seeds = (1..samples)
                .map(|sample| attempt_seed(seed, problem, 0, sample))
                .collect();
            GradedRequest {
                problem,
                request: PolicyRequest::new(dialogue, seeds),
            }
        })
        .collect();
    let answers = GradedPolicy {
        policy,
        author: plan.author,
        sampling: &plan.sampling,
        grade,
    }
    .respond_and_grade(asked)?;
    let episodes = problems
        .iter()
        .zip(answers)
        .flat_map(|(problem, candidates)| {
            (1..).zip(candidates).map(|(sample, candidate)| Episode {
                problem: problem.id.clone(),
                sample,
                turns: vec![Turn::single(candidate)],
            })
        });
    Ok(episodes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ScriptedPolicy;
    use crate::rollout::fixtures::{SeededPolicy, grade, problem, rollout_config, scripted_key};
    use crate::rollout::sequential_rollouts;

    #[test]
    fn samples_are_numbered_from_one_within_each_problem() {
        let problems = [1, 2].map(problem);
        let mut policy = ScriptedPolicy::new()
            .with_answers(&scripted_key(&problems[0]), 0, &["#### 1", "#### 8"])
            .with_answers(&scripted_key(&problems[1]), 0, &["#### 3", "#### 2"]);
        let episodes = parallel_samples(
            &mut policy,
            &problems,
            &rollout_config(5),
            3,
            Seed(0),
            &grade,
        )
        .unwrap();
        let seen: Vec<(&str, u32, bool)> = episodes
            .iter()
            .map(|episode| {
                (
                    episode.problem.as_str(),
                    episode.sample,
                    episode.ends_right(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("toy/1", 1, true),
                ("toy/1", 2, false),
                ("toy/2", 1, false),
                ("toy/2", 2, true)
            ]
        );
        assert!(episodes.iter().all(|episode| episode.turns.len() == 1));
        assert_eq!(policy.attempts_requested, 4);
    }

    #[test]
    fn one_sample_is_the_log_itself() {
        let mut policy = ScriptedPolicy::new();
        assert_eq!(
            parallel_samples(
                &mut policy,
                &[problem(1)],
                &rollout_config(5),
                1,
                Seed(0),
                &grade
            )
            .unwrap(),
            []
        );
        assert_eq!(policy.attempts_requested, 0);
    }

    #[test]
    fn no_sample_repeats_the_log_or_depends_on_how_many_there_are() {
        let problems: Vec<Problem> = (0..6).map(problem).collect();
        let few = parallel_samples(
            &mut SeededPolicy,
            &problems,
            &rollout_config(5),
            3,
            Seed(4),
            &grade,
        )
        .unwrap();
        let many = parallel_samples(
            &mut SeededPolicy,
            &problems,
            &rollout_config(5),
            9,
            Seed(4),
            &grade,
        )
        .unwrap();
        assert!(few.iter().all(|episode| many.contains(episode)));
        let log = sequential_rollouts(
            &mut SeededPolicy,
            &problems,
            &rollout_config(1),
            Seed(4),
            &grade,
        )
        .unwrap();
        let mut texts: Vec<&str> = log
            .iter()
            .chain(&many)
            .map(|e| e.turns[0].chosen().text.as_str())
            .collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(
            texts.len(),
            6 * 9,
            "two attempts were drawn from the same seed"
        );
    }
}
