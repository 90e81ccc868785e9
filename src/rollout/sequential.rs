//! The sequential log: attempt, retry text, attempt, up to the last turn or the stop rule.
//!
//! All open problems get their next turn in one batch. An episode depends on its problem, the seed
//! and the policy only, so any order and any chunks of problems give the same episodes.

use crate::data::{PromptConfig, SelfReview};
use crate::domain::{
    CandidateAuthor, Episode, Policy, PolicyError, PolicyRequest, Problem, SamplingConfig, Seed,
    Turn,
};

use super::config::TurnProtocol;
use super::degenerate::is_degenerate;
use super::environment::RolloutEnvironment;
use super::graded_policy::{GradeFn, GradedPolicy, GradedRequest, attempt_seed};
use super::review::review_last_turns;

/// How a policy rolls out on a problem.
#[derive(Clone, Debug)]
pub struct RolloutConfig {
    /// The most turns of an episode.
    pub turns: u32,
    /// Number of latest attempts that the policy sees; none: all.
    pub window: Option<u32>,
    /// Whether an episode ends at its first right attempt. Evaluation without oracle never stops:
    /// after every turn, right or wrong, the policy hears the retry text.
    pub stop_on_success: bool,
    /// How often a degenerate attempt is sampled again before it is kept; 0 keeps every attempt.
    pub max_resamples: u32,
    /// The protocol of turns.
    pub protocol: TurnProtocol,
    /// How question, attempts and retry texts become a dialogue.
    pub prompt: PromptConfig,
    /// How the policy samples.
    pub sampling: SamplingConfig,
    /// The author of the candidates.
    pub author: CandidateAuthor,
}

impl RolloutConfig {
    /// `turns` turns of the policy with the whole history, a retry text after every attempt, and no
    /// rule that ends the episode early.
    #[must_use]
    pub const fn new(turns: u32, prompt: PromptConfig, sampling: SamplingConfig) -> Self {
        Self {
            turns,
            window: None,
            stop_on_success: false,
            max_resamples: 0,
            protocol: TurnProtocol::Retry,
            prompt,
            sampling,
            author: CandidateAuthor::Policy,
        }
    }
}

/// Rolls the policy out on every problem, one candidate per turn; returns the episodes in the
/// problems' order.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn sequential_rollouts(
    policy: &mut dyn Policy,
    problems: &[Problem],
    plan: &RolloutConfig,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<Vec<Episode>, PolicyError> {
    let environment = RolloutEnvironment {
        prompt: &plan.prompt,
        window: plan.window,
        stop_on_success: plan.stop_on_success,
        self_review: plan.protocol.self_review(),
    };
    let mut respondent = GradedPolicy {
        policy,
        author: plan.author,
        sampling: &plan.sampling,
        grade,
    };
    let mut episodes: Vec<Episode> = problems.iter().map(empty_episode).collect();
    for turn in 0..plan.turns as usize {
        let open: Vec<usize> = (0..problems.len())
            .filter(|&index| !environment.is_over(&episodes[index].turns))
            .collect();
        let requests = turn_requests(&environment, problems, &episodes, &open, turn, seed);
        for (&index, candidates) in open.iter().zip(respondent.respond_and_grade(requests)?) {
            episodes[index].turns.push(Turn::new(candidates, 0));
        }
        for redraw in 1..=plan.max_resamples {
            let degenerate: Vec<usize> = open
                .iter()
                .copied()
                .filter(|&index| ends_in_degenerate_attempt(&episodes[index]))
                .collect();
            let seed = seed.derive("redraw").derive_indexed(u64::from(redraw));
            let requests =
                turn_requests(&environment, problems, &episodes, &degenerate, turn, seed);
            let answers = respondent.respond_and_grade(requests)?;
            for (&index, candidates) in degenerate.iter().zip(answers) {
                episodes[index].turns[turn].candidates.extend(candidates);
                episodes[index].turns[turn].chosen += 1;
            }
        }
        // A critique of the last attempt has no effect.
        let last = turn + 1 == plan.turns as usize;
        let asks = environment
            .self_review
            .is_some_and(|review| !last || review == SelfReview::Verify);
        if asks && !open.is_empty() {
            let places = (problems, open.as_slice());
            review_last_turns(
                respondent.policy,
                &environment,
                places,
                &mut episodes,
                &plan.sampling,
                seed,
            )?;
        }
    }
    Ok(episodes)
}

/// One request for turn `turn` of each of the episodes at `indices`.
fn turn_requests<'a>(
    environment: &RolloutEnvironment<'_>,
    problems: &'a [Problem],
    episodes: &[Episode],
    indices: &[usize],
    turn: usize,
    seed: Seed,
) -> Vec<GradedRequest<'a>> {
    let requests = indices.iter().map(|&index| {
        let problem = &problems[index];
        let earlier = &episodes[index].turns[..turn];
        let dialogue = environment.next_dialogue(&problem.question, earlier);
        let seeds = vec![attempt_seed(seed, problem, turn, 0)];
        GradedRequest {
            problem,
            request: PolicyRequest::new(dialogue, seeds),
        }
    });
    requests.collect()
}

fn ends_in_degenerate_attempt(episode: &Episode) -> bool {
    episode
        .turns
        .last()
        .is_some_and(|turn| is_degenerate(&turn.chosen().text))
}

fn empty_episode(problem: &Problem) -> Episode {
    Episode {
        problem: problem.id.clone(),
        sample: 0,
        turns: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Candidate, GradeVerdict, ScriptedPolicy};
    use crate::rollout::fixtures::{SeededPolicy, grade, problem, rollout_config, scripted_key};

    fn verdicts(episodes: &[Episode]) -> Vec<Vec<GradeVerdict>> {
        episodes.iter().map(Episode::verdicts).collect()
    }

    /// Right at turn 1, right at turn 2, never right.
    fn script() -> ScriptedPolicy {
        let (one, two, three) = (
            scripted_key(&problem(1)),
            scripted_key(&problem(2)),
            scripted_key(&problem(3)),
        );
        ScriptedPolicy::new()
            .with_answers(&one, 0, &["#### 1"])
            .with_answers(&one, 1, &["#### 9"])
            .with_answers(&one, 2, &["#### 1"])
            .with_answers(&two, 0, &["well"])
            .with_answers(&two, 1, &["#### 2"])
            .with_answers(&two, 2, &["#### 2"])
            .with_answers(&three, 0, &["#### 4"])
            .with_answers(&three, 1, &["#### 4"])
            .with_answers(&three, 2, &["#### 5"])
    }

    #[test]
    fn without_oracle_every_problem_gets_every_turn() {
        use GradeVerdict::{Right, Unreadable, Wrong};
        let problems = [1, 2, 3].map(problem);
        let mut policy = script();
        let episodes =
            sequential_rollouts(&mut policy, &problems, &rollout_config(3), Seed(0), &grade)
                .unwrap();
        let expected = [
            [Right, Wrong, Right],
            [Unreadable, Right, Right],
            [Wrong, Wrong, Wrong],
        ];
        assert_eq!(verdicts(&episodes), expected);
        assert_eq!(policy.attempts_requested, 9);
    }

    #[test]
    fn a_stopped_episode_is_not_asked_again() {
        use GradeVerdict::{Right, Unreadable, Wrong};
        let problems = [1, 2, 3].map(problem);
        let mut policy = script();
        let stopping = RolloutConfig {
            stop_on_success: true,
            author: CandidateAuthor::Other,
            ..rollout_config(3)
        };
        let episodes =
            sequential_rollouts(&mut policy, &problems, &stopping, Seed(0), &grade).unwrap();
        assert_eq!(
            verdicts(&episodes),
            [
                vec![Right],
                vec![Unreadable, Right],
                vec![Wrong, Wrong, Wrong]
            ]
        );
        assert_eq!(policy.attempts_requested, 6);
        let candidate: &Candidate = episodes[1].turns[1].chosen();
        assert_eq!(
            (candidate.author, candidate.text.as_str(), candidate.tokens),
            (CandidateAuthor::Other, "#### 2", 3)
        );
    }

    #[test]
    fn a_degenerate_attempt_is_drawn_again_and_kept_in_the_end() {
        struct RepeatingPolicy;
        impl Policy for RepeatingPolicy {
            fn respond(
                &mut self,
                requests: &[PolicyRequest],
                _: &SamplingConfig,
            ) -> Result<Vec<Vec<crate::domain::SampledAttempt>>, PolicyError> {
                let text = |request: &PolicyRequest| match request.seeds[0].0 % 3 {
                    0 => "#### 1".to_owned(),
                    _ => "again ".repeat(200),
                };
                let attempt = |text| crate::domain::SampledAttempt {
                    text,
                    tokens: 1,
                    prompt_tokens: 1,
                    finished: true,
                };
                Ok(requests
                    .iter()
                    .map(|request| vec![attempt(text(request))])
                    .collect())
            }
        }
        let problems: Vec<Problem> = (0..30).map(problem).collect();
        let draws = |redraws| {
            let plan = RolloutConfig {
                max_resamples: redraws,
                ..rollout_config(1)
            };
            let episodes =
                sequential_rollouts(&mut RepeatingPolicy, &problems, &plan, Seed(0), &grade)
                    .unwrap();
            for turn in episodes.iter().flat_map(|episode| &episode.turns) {
                assert_eq!(
                    turn.chosen + 1,
                    turn.candidates.len(),
                    "the last draw stands"
                );
                let earlier = &turn.candidates[..turn.chosen];
                assert!(
                    earlier
                        .iter()
                        .all(|candidate| is_degenerate(&candidate.text))
                );
            }
            let stands = episodes
                .iter()
                .filter(|episode| ends_in_degenerate_attempt(episode))
                .count();
            (
                stands,
                episodes
                    .iter()
                    .map(|episode| episode.turns[0].candidates.len())
                    .max(),
            )
        };
        let (kept, most) = draws(0);
        assert!(kept > 10 && most == Some(1));
        let (left, most) = draws(2);
        assert!(
            (1..kept).contains(&left) && most == Some(3),
            "{left} of {kept} are left, {most:?} draws"
        );
    }

    #[test]
    fn a_policy_sees_no_more_than_its_window() {
        // The script counts the attempts it is shown: with a window of 1, turn 3 looks like turn 2.
        let narrow = RolloutConfig {
            window: Some(1),
            ..rollout_config(3)
        };
        let episodes =
            sequential_rollouts(&mut script(), &[problem(3)], &narrow, Seed(0), &grade).unwrap();
        assert_eq!(episodes[0].turns[2].chosen().text, "#### 4");
        let wide = sequential_rollouts(
            &mut script(),
            &[problem(3)],
            &rollout_config(3),
            Seed(0),
            &grade,
        )
        .unwrap();
        assert_eq!(wide[0].turns[2].chosen().text, "#### 5");
    }

    #[test]
    fn another_seed_gives_another_log() {
        let problems: Vec<Problem> = (0..20).map(problem).collect();
        let log = |seed| {
            sequential_rollouts(
                &mut SeededPolicy,
                &problems,
                &rollout_config(3),
                Seed(seed),
                &grade,
            )
            .unwrap()
        };
        assert_eq!(log(1), log(1));
        assert_ne!(log(1), log(2));
    }

    proptest! {
        #[test]
        fn an_episode_depends_on_its_own_problem_only(
            order in Just((0..12_u32).collect::<Vec<_>>()).prop_shuffle(),
            chunk in 1_usize..13,
            seed in any::<u64>(),
            stop_on_success in any::<bool>(),
            window in proptest::option::of(0_u32..4),
        ) {
            let plan = RolloutConfig { window, stop_on_success, ..rollout_config(4) };
            let log = |problems: &[Problem]| {
                sequential_rollouts(&mut SeededPolicy, problems, &plan, Seed(seed), &grade).unwrap()
            };
            let together = log(&(0..12).map(problem).collect::<Vec<_>>());
            let shuffled: Vec<Problem> = order.iter().map(|&number| problem(number)).collect();
            let mut apart: Vec<Episode> = shuffled.chunks(chunk).flat_map(log).collect();
            apart.sort_by_key(|episode| together.iter().position(|other| other.problem == episode.problem));
            prop_assert_eq!(apart, together);
        }
    }
}
