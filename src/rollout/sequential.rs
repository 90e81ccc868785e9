//! The sequential log: attempt, retry text, attempt, until the turns are up or the stop rule ends it.
//!
//! Responsible for asking all problems that are still open for their next turn in one batch. An
//! episode depends on its own problem, the seed and the policy only, never on its neighbours, so
//! problems may be ordered and chunked at will. Must not know what the episodes are for.

use crate::data::Prompt;
use crate::domain::{Author, Episode, Policy, PolicyError, Problem, Request, Sampling, Seed, Turn};

use super::attempt::{Asked, Grader, Respondent, seed_of};
use super::environment::Environment;

/// How a policy is unrolled on a problem.
#[derive(Clone, Debug)]
pub struct Unroll {
    /// The most turns of an episode.
    pub turns: u32,
    /// How many of the latest attempts the policy is shown; none shows all.
    pub window: Option<u32>,
    /// Whether an episode ends at its first right attempt. Evaluation without oracle never stops:
    /// after every turn, right or wrong, the policy hears the retry text.
    pub stop_on_success: bool,
    /// How question, attempts and retry texts become a dialogue.
    pub prompt: Prompt,
    /// How the policy samples.
    pub sampling: Sampling,
    /// As whom the policy signs its candidates.
    pub author: Author,
}

/// Unrolls the policy on every problem, one candidate per turn; the episodes are in the problems' order.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn rollout(
    policy: &mut dyn Policy,
    problems: &[Problem],
    plan: &Unroll,
    seed: Seed,
    grade: Grader<'_>,
) -> Result<Vec<Episode>, PolicyError> {
    let environment =
        Environment { prompt: &plan.prompt, window: plan.window, stop_on_success: plan.stop_on_success };
    let mut respondent = Respondent { policy, author: plan.author, sampling: &plan.sampling, grade };
    let mut episodes: Vec<Episode> = problems.iter().map(fresh).collect();
    for turn in 0..plan.turns as usize {
        let open: Vec<usize> =
            (0..problems.len()).filter(|&index| !environment.is_over(&episodes[index].turns)).collect();
        let asked = open
            .iter()
            .map(|&index| {
                let problem = &problems[index];
                let dialogue = environment.state(&problem.question, &episodes[index].turns);
                Asked { problem, request: Request { dialogue, seeds: vec![seed_of(seed, problem, turn, 0)] } }
            })
            .collect();
        for (index, candidates) in open.into_iter().zip(respondent.answer(asked)?) {
            episodes[index].turns.push(Turn { candidates, chosen: 0 });
        }
    }
    Ok(episodes)
}

fn fresh(problem: &Problem) -> Episode {
    Episode { problem: problem.id.clone(), sample: 0, turns: Vec::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Candidate, ScriptedPolicy, Verdict};
    use crate::rollout::testing::{Dice, grade, key, plan, problem};

    fn verdicts(episodes: &[Episode]) -> Vec<Vec<Verdict>> {
        episodes.iter().map(Episode::verdicts).collect()
    }

    /// Right at turn 1, right at turn 2, never right.
    fn script() -> ScriptedPolicy {
        let (one, two, three) = (key(&problem(1)), key(&problem(2)), key(&problem(3)));
        ScriptedPolicy::new()
            .line(&one, 0, &["#### 1"])
            .line(&one, 1, &["#### 9"])
            .line(&one, 2, &["#### 1"])
            .line(&two, 0, &["well"])
            .line(&two, 1, &["#### 2"])
            .line(&two, 2, &["#### 2"])
            .line(&three, 0, &["#### 4"])
            .line(&three, 1, &["#### 4"])
            .line(&three, 2, &["#### 5"])
    }

    #[test]
    fn without_oracle_every_problem_gets_every_turn() {
        use Verdict::{Right, Unreadable, Wrong};
        let problems = [1, 2, 3].map(problem);
        let mut policy = script();
        let episodes = rollout(&mut policy, &problems, &plan(3), Seed(0), &grade).unwrap();
        let expected = [[Right, Wrong, Right], [Unreadable, Right, Right], [Wrong, Wrong, Wrong]];
        assert_eq!(verdicts(&episodes), expected);
        assert_eq!(policy.asked, 9);
    }

    #[test]
    fn a_stopped_episode_is_not_asked_again() {
        use Verdict::{Right, Unreadable, Wrong};
        let problems = [1, 2, 3].map(problem);
        let mut policy = script();
        let stopping = Unroll { stop_on_success: true, author: Author::Other, ..plan(3) };
        let episodes = rollout(&mut policy, &problems, &stopping, Seed(0), &grade).unwrap();
        assert_eq!(verdicts(&episodes), [vec![Right], vec![Unreadable, Right], vec![Wrong, Wrong, Wrong]]);
        assert_eq!(policy.asked, 6);
        let candidate: &Candidate = episodes[1].turns[1].chosen();
        assert_eq!(
            (candidate.author, candidate.text.as_str(), candidate.tokens),
            (Author::Other, "#### 2", 3)
        );
    }

    #[test]
    fn a_policy_sees_no_more_than_its_window() {
        // The script counts the attempts it is shown: with a window of 1, turn 3 looks like turn 2.
        let narrow = Unroll { window: Some(1), ..plan(3) };
        let episodes = rollout(&mut script(), &[problem(3)], &narrow, Seed(0), &grade).unwrap();
        assert_eq!(episodes[0].turns[2].chosen().text, "#### 4");
        let wide = rollout(&mut script(), &[problem(3)], &plan(3), Seed(0), &grade).unwrap();
        assert_eq!(wide[0].turns[2].chosen().text, "#### 5");
    }

    #[test]
    fn another_seed_gives_another_log() {
        let problems: Vec<Problem> = (0..20).map(problem).collect();
        let log = |seed| rollout(&mut Dice, &problems, &plan(3), Seed(seed), &grade).unwrap();
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
            let plan = Unroll { window, stop_on_success, ..plan(4) };
            let log = |problems: &[Problem]| {
                rollout(&mut Dice, problems, &plan, Seed(seed), &grade).unwrap()
            };
            let together = log(&(0..12).map(problem).collect::<Vec<_>>());
            let shuffled: Vec<Problem> = order.iter().map(|&number| problem(number)).collect();
            let mut apart: Vec<Episode> = shuffled.chunks(chunk).flat_map(log).collect();
            apart.sort_by_key(|episode| together.iter().position(|other| other.problem == episode.problem));
            prop_assert_eq!(apart, together);
        }
    }
}
