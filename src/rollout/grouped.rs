//! Several whole episodes per problem, which online training compares with each other.
//!
//! One request asks for the first turns of a problem, so a policy reads the question once.

use crate::domain::{Episode, Policy, PolicyError, PolicyRequest, Problem, Seed, Turn};

use super::environment::RolloutEnvironment;
use super::graded_policy::{GradeFn, GradedPolicy, GradedRequest, attempt_seed};
use super::sequential::RolloutConfig;

/// Rolls the policy out `samples` times on every problem; returns one group per problem, in order.
///
/// Sample 0 is the episode of [`sequential_rollouts`](super::sequential_rollouts) with the same
/// seed.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn grouped_rollouts(
    policy: &mut dyn Policy,
    problems: &[Problem],
    plan: &RolloutConfig,
    samples: u32,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<Vec<Vec<Episode>>, PolicyError> {
    let environment = RolloutEnvironment {
        prompt: &plan.prompt,
        window: plan.window,
        stop_on_success: plan.stop_on_success,
        self_review: None,
    };
    let mut respondent = GradedPolicy {
        policy,
        author: plan.author,
        sampling: &plan.sampling,
        grade,
    };
    let mut groups: Vec<Vec<Episode>> = problems
        .iter()
        .map(|problem| empty_group(problem, samples))
        .collect();
    for turn in 0..plan.turns as usize {
        let (mut open, mut requests) = (Vec::new(), Vec::new());
        for (index, (problem, group)) in problems.iter().zip(&groups).enumerate() {
            let samples: Vec<usize> = (0..group.len())
                .filter(|&sample| !environment.is_over(&group[sample].turns))
                .collect();
            // Before the first turn all samples of a problem have the same dialogue.
            let chunk = if turn == 0 { samples.len().max(1) } else { 1 };
            for samples in samples.chunks(chunk) {
                let turns = &group[samples[0]].turns;
                let dialogue = environment.next_dialogue(&problem.question, turns);
                let seeds = samples
                    .iter()
                    .map(|&sample| attempt_seed(seed, problem, turn, sample as u32))
                    .collect();
                requests.push(GradedRequest {
                    problem,
                    request: PolicyRequest::new(dialogue, seeds),
                });
            }
            open.extend(samples.into_iter().map(|sample| (index, sample)));
        }
        let answers = respondent.respond_and_grade(requests)?;
        for ((index, sample), candidate) in open.into_iter().zip(answers.into_iter().flatten()) {
            groups[index][sample].turns.push(Turn::single(candidate));
        }
    }
    Ok(groups)
}

/// Samples of a problem without turns.
fn empty_group(problem: &Problem, samples: u32) -> Vec<Episode> {
    let samples = (0..samples).map(|sample| Episode {
        problem: problem.id.clone(),
        sample,
        turns: Vec::new(),
    });
    samples.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixtures::{SeededPolicy, grade, problem, rollout_config};
    use crate::rollout::sequential_rollouts;

    #[test]
    fn samples_are_whole_episodes_that_go_their_own_ways() {
        let problems: Vec<Problem> = (0..5).map(problem).collect();
        let groups = grouped_rollouts(
            &mut SeededPolicy,
            &problems,
            &rollout_config(3),
            4,
            Seed(1),
            &grade,
        )
        .unwrap();
        assert_eq!(groups.len(), 5);
        for (group, problem) in groups.iter().zip(&problems) {
            let samples: Vec<u32> = group.iter().map(|episode| episode.sample).collect();
            assert_eq!(samples, [0, 1, 2, 3]);
            assert!(
                group
                    .iter()
                    .all(|episode| episode.problem == problem.id && episode.turns.len() == 3)
            );
            assert!(
                group
                    .iter()
                    .skip(1)
                    .all(|episode| episode.turns != group[0].turns)
            );
        }
        let first: Vec<Episode> = groups
            .into_iter()
            .map(|mut group| group.remove(0))
            .collect();
        assert_eq!(
            first,
            sequential_rollouts(
                &mut SeededPolicy,
                &problems,
                &rollout_config(3),
                Seed(1),
                &grade
            )
            .unwrap()
        );
    }

    #[test]
    fn a_stop_rule_ends_each_sample_for_itself() {
        let problems: Vec<Problem> = (0..8).map(problem).collect();
        let stopping = RolloutConfig {
            stop_on_success: true,
            ..rollout_config(4)
        };
        let groups =
            grouped_rollouts(&mut SeededPolicy, &problems, &stopping, 6, Seed(2), &grade).unwrap();
        let lengths: Vec<usize> = groups
            .iter()
            .flatten()
            .map(|episode| episode.turns.len())
            .collect();
        assert!(lengths.contains(&1) && lengths.contains(&4), "{lengths:?}");
        for episode in groups.iter().flatten() {
            let (_, earlier) = episode.turns.split_last().unwrap();
            assert!(
                earlier
                    .iter()
                    .all(|turn| !turn.chosen().grade.verdict.is_right())
            );
            assert!(episode.turns.len() == 4 || episode.ends_right());
        }
    }
}
