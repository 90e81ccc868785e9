//! The improved last turn of episodes whose own turns failed: from a reference solution, a stronger
//! model or the policy itself.

use std::collections::BTreeMap;

use crate::api::TeacherView;
use crate::data::PromptConfig;
use crate::domain::{
    Candidate, CandidateAuthor, Episode, Policy, PolicyError, PolicyRequest, Problem,
    SamplingConfig, Seed, Turn,
};

use super::environment::RolloutEnvironment;
use super::graded_policy::{GradeFn, GradedPolicy, GradedRequest, attempt_seed};

/// The temperature at which the official code samples its teacher.
pub const TEACHER_TEMPERATURE: f64 = 0.7;

/// The source of the improved turn.
pub enum TeacherPolicy<'a> {
    /// The task's reference solution; costs no tokens.
    Reference,
    /// A stronger model, shown the **plain question** without the failed attempts, at temperature
    /// 0.7.
    ///
    /// The paper shows GPT-3.5 the same state as the learner. By measurement, a small stronger
    /// checkpoint does best from the plain question: it never saw another model's mistakes in
    /// training.
    StrongerModel(&'a mut dyn Policy),
    /// A model with its own settings, such as an API model.
    CustomModel {
        /// The model.
        policy: &'a mut dyn Policy,
        /// The part of the dialogue that it sees.
        view: TeacherView,
        /// How it samples.
        sampling: SamplingConfig,
    },
    /// The policy itself at the failed state, with its whole history (self-distillation, best of N).
    OwnPolicy {
        /// The trained policy.
        policy: &'a mut dyn Policy,
        /// Samples per problem; the first with the maximal reward is carried forward.
        best_of: u32,
    },
}

/// How the improved turn is sampled.
#[derive(Clone, Debug)]
pub struct ImproveConfig {
    /// How question, attempts and retry texts become a dialogue.
    pub prompt: PromptConfig,
    /// How the improved turn is sampled; a stronger model has its own temperature.
    pub sampling: SamplingConfig,
    /// Whether a right episode is finished. If not, its latest right attempt is repeated as the
    /// answer to the retry text, so the policy also learns to keep right answers.
    pub stop_on_success: bool,
}

/// Counts of an improvement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImproveStats {
    /// Problems whose own turns all failed.
    pub problems_asked: u64,
    /// Answers to them.
    pub answers: u64,
    /// Tokens sampled for them.
    pub tokens: u64,
    /// Improved turns that are right.
    pub right: u64,
    /// Right episodes that got their right attempt once more.
    pub repeated: u64,
}

impl ImproveStats {
    /// The counts of one episode, from the episode before and after its improvement.
    #[must_use]
    pub fn from_episodes(before: &Episode, after: &Episode) -> Self {
        let mut improved = Self::default();
        match after.turns.get(before.turns.len()) {
            Some(turn) if last_right_attempt(before).is_none() => improved.count_turn(turn),
            Some(_) => improved.repeated = 1,
            None => {}
        }
        improved
    }

    /// Adds the counts of another call.
    pub fn add(&mut self, other: &Self) {
        self.problems_asked += other.problems_asked;
        self.answers += other.answers;
        self.tokens += other.tokens;
        self.right += other.right;
        self.repeated += other.repeated;
    }
}

/// Why an episode could not be improved.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// The policy behind the teacher could not answer.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A problem has no reference solution.
    #[error(
        "problem `{0}` has no reference solution; choose another `teacher` or a task with solutions"
    )]
    NoSolution(String),
    /// The problem of an episode is missing.
    #[error("an episode is about problem `{0}`, which is not among the problems to improve on")]
    UnknownProblem(String),
    /// Best of nothing.
    #[error("best of 0 samples improves nothing; set `best_of` to at least 1")]
    NoSamples,
}

/// Appends the improved turn to every episode in which no turn is right.
///
/// Right episodes stay as they are, or keep their right attempt once more (see
/// [`ImproveConfig::stop_on_success`]). A wrong improved turn is kept too, as in the official code.
///
/// # Errors
/// If the teacher cannot answer, or an episode's problem or reference solution is missing.
pub fn improve_episodes(
    source: TeacherPolicy<'_>,
    mut episodes: Vec<Episode>,
    problems: &[Problem],
    plan: &ImproveConfig,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<(Vec<Episode>, ImproveStats), TeacherError> {
    let problems: BTreeMap<&str, &Problem> = problems.iter().map(|p| (p.id.as_str(), p)).collect();
    let (right, failed): (Vec<usize>, Vec<usize>) =
        (0..episodes.len()).partition(|&index| last_right_attempt(&episodes[index]).is_some());
    let mut states = Vec::new();
    for &index in &failed {
        let id = &episodes[index].problem;
        let problem = problems
            .get(id.as_str())
            .ok_or_else(|| TeacherError::UnknownProblem(id.clone()))?;
        states.push((*problem, episodes[index].turns.as_slice()));
    }
    let turns = source.improve_turns(&states, plan, seed, grade)?;
    let mut improved = ImproveStats::default();
    for (index, turn) in failed.into_iter().zip(turns) {
        improved.count_turn(&turn);
        episodes[index].turns.push(turn);
    }
    if !plan.stop_on_success {
        improved.repeated = right.len() as u64;
        for index in right {
            repeat_right_attempt(&mut episodes[index]);
        }
    }
    Ok((episodes, improved))
}

impl ImproveStats {
    fn count_turn(&mut self, turn: &Turn) {
        self.problems_asked += 1;
        self.answers += turn.candidates.len() as u64;
        self.tokens += turn
            .candidates
            .iter()
            .map(|candidate| u64::from(candidate.tokens))
            .sum::<u64>();
        self.right += u64::from(turn.chosen().grade.verdict.is_right());
    }
}

impl TeacherPolicy<'_> {
    /// One improved turn per failed state.
    fn improve_turns(
        self,
        states: &[(&Problem, &[Turn])],
        plan: &ImproveConfig,
        seed: Seed,
        grade: GradeFn<'_>,
    ) -> Result<Vec<Turn>, TeacherError> {
        match self {
            Self::Reference => states
                .iter()
                .map(|(problem, _)| reference_turn(problem, grade))
                .collect(),
            Self::StrongerModel(policy) => {
                let sampling = SamplingConfig {
                    temperature: TEACHER_TEMPERATURE,
                    ..plan.sampling
                };
                Self::CustomModel {
                    policy,
                    view: TeacherView::Question,
                    sampling,
                }
                .improve_turns(states, plan, seed, grade)
            }
            Self::CustomModel {
                policy,
                view,
                sampling,
            } => {
                let teacher = GradedPolicy {
                    policy,
                    author: CandidateAuthor::Teacher,
                    sampling: &sampling,
                    grade,
                };
                ask_teacher(teacher, states, plan, view, seed, 1)
            }
            Self::OwnPolicy { best_of: 0, .. } => Err(TeacherError::NoSamples),
            Self::OwnPolicy { policy, best_of } => {
                let own_policy = GradedPolicy {
                    policy,
                    author: CandidateAuthor::Policy,
                    sampling: &plan.sampling,
                    grade,
                };
                ask_teacher(
                    own_policy,
                    states,
                    plan,
                    TeacherView::Dialogue,
                    seed,
                    best_of,
                )
            }
        }
    }
}

/// The reference solution as a turn.
fn reference_turn(problem: &Problem, grade: GradeFn<'_>) -> Result<Turn, TeacherError> {
    let text = problem
        .solution
        .clone()
        .ok_or_else(|| TeacherError::NoSolution(problem.id.clone()))?;
    let grade = grade(problem, &text);
    Ok(Turn::single(Candidate {
        author: CandidateAuthor::Teacher,
        text,
        tokens: 0,
        prompt_tokens: 0,
        finished: true,
        grade,
    }))
}

/// Asks about every state at once, with the whole history; the first best of `samples` answers is
/// carried forward.
fn ask_teacher(
    mut teacher: GradedPolicy<'_>,
    states: &[(&Problem, &[Turn])],
    plan: &ImproveConfig,
    view: TeacherView,
    seed: Seed,
    samples: u32,
) -> Result<Vec<Turn>, TeacherError> {
    let environment = RolloutEnvironment {
        prompt: &plan.prompt,
        window: None,
        stop_on_success: true,
        self_review: None,
    };
    let seed = seed.derive("teacher");
    let requests = states.iter().map(|&(problem, turns)| {
        let visible = match view {
            TeacherView::Dialogue => turns,
            TeacherView::Question => &[],
        };
        let dialogue = environment.next_dialogue(&problem.question, visible);
        let seeds = (0..samples)
            .map(|sample| attempt_seed(seed, problem, turns.len(), sample))
            .collect();
        GradedRequest {
            problem,
            request: PolicyRequest::new(dialogue, seeds),
        }
    });
    let answers = teacher.respond_and_grade(requests.collect())?;
    Ok(answers
        .into_iter()
        .map(|candidates| {
            let chosen = best_candidate(&candidates);
            Turn::new(candidates, chosen)
        })
        .collect())
}

/// The first of those with the maximal reward, as the official code chooses.
fn best_candidate(candidates: &[Candidate]) -> usize {
    let mut best = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.grade.verdict.reward() > candidates[best].grade.verdict.reward() {
            best = index;
        }
    }
    best
}

fn last_right_attempt(episode: &Episode) -> Option<&Candidate> {
    episode
        .turns
        .iter()
        .rev()
        .map(Turn::chosen)
        .find(|candidate| candidate.grade.verdict.is_right())
}

/// Repeats the latest right attempt, which costs no tokens.
fn repeat_right_attempt(episode: &mut Episode) {
    let copy = last_right_attempt(episode).map(|right| Candidate {
        tokens: 0,
        prompt_tokens: 0,
        ..right.clone()
    });
    episode.turns.extend(copy.map(Turn::single));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Dialogue, SampledAttempt, ScriptedPolicy};
    use crate::rollout::fixtures::{
        SeededPolicy, candidate, grade, problem, prompt, scripted_key, turn,
    };

    fn plan(stop_on_success: bool) -> ImproveConfig {
        ImproveConfig {
            prompt: prompt(),
            sampling: SamplingConfig::default(),
            stop_on_success,
        }
    }

    fn episode(number: u32, texts: &[&str]) -> Episode {
        let problem = problem(number);
        let turns = texts.iter().map(|text| turn(&problem, text)).collect();
        Episode {
            problem: problem.id,
            sample: 0,
            turns,
        }
    }

    /// Failed twice; right at once; wrong, then right.
    fn episodes() -> Vec<Episode> {
        vec![
            episode(1, &["#### 7", "eh"]),
            episode(2, &["#### 2"]),
            episode(3, &["#### 7", "#### 3"]),
        ]
    }

    fn improve_all(
        source: TeacherPolicy<'_>,
        stop_on_success: bool,
    ) -> (Vec<Episode>, ImproveStats) {
        let problems = [1, 2, 3].map(problem);
        let (after, improved) = improve_episodes(
            source,
            episodes(),
            &problems,
            &plan(stop_on_success),
            Seed(0),
            &grade,
        )
        .unwrap();
        let mut seen = ImproveStats::default();
        episodes()
            .iter()
            .zip(&after)
            .for_each(|(before, after)| seen.add(&ImproveStats::from_episodes(before, after)));
        assert_eq!(seen, improved, "seen from outside");
        (after, improved)
    }

    /// A policy that records its requests.
    #[derive(Default)]
    struct RecordingPolicy {
        asked: Vec<(Dialogue, usize, f64)>,
    }

    impl Policy for RecordingPolicy {
        fn respond(
            &mut self,
            requests: &[PolicyRequest],
            how: &SamplingConfig,
        ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
            let seen = requests
                .iter()
                .map(|r| (r.dialogue.clone(), r.seeds.len(), how.temperature));
            self.asked.extend(seen);
            SeededPolicy.respond(requests, how)
        }
    }

    #[test]
    fn the_reference_solution_follows_where_every_own_turn_failed() {
        let (after, improved) = improve_all(TeacherPolicy::Reference, true);
        let last = after[0].turns[2].chosen();
        assert_eq!(
            (last.author, last.text.as_str(), last.tokens),
            (CandidateAuthor::Teacher, "It says so. #### 1", 0)
        );
        assert!(after[0].ends_right());
        assert_eq!(after[1..], episodes()[1..]);
        assert_eq!(
            improved,
            ImproveStats {
                problems_asked: 1,
                answers: 1,
                tokens: 0,
                right: 1,
                repeated: 0
            }
        );
    }

    #[test]
    fn a_right_attempt_is_kept_as_the_answer_to_the_retry_text() {
        let (after, improved) = improve_all(TeacherPolicy::Reference, false);
        let texts = |episode: &Episode| {
            episode
                .turns
                .iter()
                .map(|turn| turn.chosen().text.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&after[0]), ["#### 7", "eh", "It says so. #### 1"]);
        assert_eq!(texts(&after[1]), ["#### 2", "#### 2"]);
        assert_eq!(texts(&after[2]), ["#### 7", "#### 3", "#### 3"]);
        let copy = after[1].turns[1].chosen();
        assert_eq!((copy.author, copy.tokens), (CandidateAuthor::Policy, 0));
        assert_eq!((improved.problems_asked, improved.repeated), (1, 2));
    }

    #[test]
    fn who_was_right_and_then_wrong_needs_no_teacher() {
        let lost = vec![episode(2, &["#### 2", "#### 5"])];
        let run = |keep: bool| {
            improve_episodes(
                TeacherPolicy::Reference,
                lost.clone(),
                &[problem(2)],
                &plan(!keep),
                Seed(0),
                &grade,
            )
            .unwrap()
        };
        assert_eq!(run(false), (lost.clone(), ImproveStats::default()));
        let (kept, improved) = run(true);
        assert_eq!(kept[0].turns[2].chosen().text, "#### 2");
        assert_eq!((improved.problems_asked, improved.repeated), (0, 1));
    }

    #[test]
    fn a_stronger_model_is_shown_the_plain_question_at_its_own_temperature() {
        let mut spy = RecordingPolicy::default();
        let (after, improved) = improve_all(TeacherPolicy::StrongerModel(&mut spy), true);
        assert_eq!(
            spy.asked,
            [(prompt().dialogue(&problem(1).question, &[]), 1, 0.7)]
        );
        let last = after[0].turns[2].chosen();
        assert_eq!(last.author, CandidateAuthor::Teacher);
        assert_eq!(improved.tokens, u64::from(last.tokens));
    }

    #[test]
    fn another_teacher_is_shown_what_it_is_to_see_and_samples_in_its_own_way() {
        let sampling = SamplingConfig {
            temperature: 0.2,
            max_tokens: 5,
            ..SamplingConfig::default()
        };
        for (sees, attempts) in [
            (TeacherView::Question, &[][..]),
            (TeacherView::Dialogue, &["#### 7", "eh"][..]),
        ] {
            let mut spy = RecordingPolicy::default();
            let (after, _) = improve_all(
                TeacherPolicy::CustomModel {
                    policy: &mut spy,
                    view: sees,
                    sampling,
                },
                true,
            );
            assert_eq!(
                spy.asked,
                [(prompt().dialogue(&problem(1).question, attempts), 1, 0.2)]
            );
            assert_eq!(after[0].turns[2].chosen().author, CandidateAuthor::Teacher);
        }
    }

    #[test]
    fn oneself_sees_every_failed_attempt_and_takes_the_first_best_of_its_samples() {
        let mut spy = RecordingPolicy::default();
        improve_all(
            TeacherPolicy::OwnPolicy {
                policy: &mut spy,
                best_of: 4,
            },
            true,
        );
        assert_eq!(
            spy.asked,
            [(
                prompt().dialogue(&problem(1).question, &["#### 7", "eh"]),
                4,
                1.0
            )]
        );

        let lines = ["eh", "#### 7", "so #### 1", "thus #### 1"];
        let mut policy = ScriptedPolicy::new().with_answers(&scripted_key(&problem(1)), 2, &lines);
        let (after, improved) = improve_all(
            TeacherPolicy::OwnPolicy {
                policy: &mut policy,
                best_of: 4,
            },
            true,
        );
        let last = &after[0].turns[2];
        assert_eq!((last.candidates.len(), last.chosen), (4, 2));
        assert_eq!(last.chosen().author, CandidateAuthor::Policy);
        assert_eq!(
            improved,
            ImproveStats {
                problems_asked: 1,
                answers: 4,
                tokens: 2 + 3 + 4 + 4,
                right: 1,
                repeated: 0
            }
        );
    }

    #[test]
    fn a_wrong_answer_is_better_than_an_unreadable_one_and_the_first_of_equals_wins() {
        let chosen = |texts: &[&str]| {
            best_candidate(
                &texts
                    .iter()
                    .map(|text| candidate(&problem(1), text))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(chosen(&["eh", "#### 5", "#### 6"]), 1);
        assert_eq!(chosen(&["eh", "oh"]), 0);
    }

    #[test]
    fn an_improved_turn_depends_on_its_own_problem_only() {
        let problems: Vec<Problem> = (0..8).map(problem).collect();
        let failed: Vec<Episode> = (0..8).map(|number| episode(number, &["#### 99"])).collect();
        let run = |episodes: Vec<Episode>| {
            let oneself = TeacherPolicy::OwnPolicy {
                policy: &mut SeededPolicy,
                best_of: 3,
            };
            improve_episodes(oneself, episodes, &problems, &plan(true), Seed(6), &grade)
                .unwrap()
                .0
        };
        let together = run(failed.clone());
        let apart: Vec<Episode> = failed
            .chunks(3)
            .rev()
            .flat_map(|chunk| run(chunk.to_vec()))
            .collect();
        assert!(together.iter().all(|episode| apart.contains(episode)));
    }

    #[test]
    fn without_own_turns_the_teacher_answers_the_question() {
        let before = vec![episode(1, &[])];
        let plan = plan(true);
        let (after, _) = improve_episodes(
            TeacherPolicy::Reference,
            before,
            &[problem(1)],
            &plan,
            Seed(0),
            &grade,
        )
        .unwrap();
        assert_eq!(after[0].turns.len(), 1);
    }

    #[test]
    fn what_cannot_be_improved_is_named() {
        let bare = Problem {
            solution: None,
            ..problem(1)
        };
        let failing = |source, problems: &[Problem]| {
            improve_episodes(source, episodes(), problems, &plan(true), Seed(0), &grade)
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(
            failing(TeacherPolicy::Reference, &[bare]),
            @"problem `toy/1` has no reference solution; choose another `teacher` or a task with solutions"
        );
        insta::assert_snapshot!(
            failing(TeacherPolicy::Reference, &[problem(2)]),
            @"an episode is about problem `toy/1`, which is not among the problems to improve on"
        );
        insta::assert_snapshot!(
            failing(TeacherPolicy::OwnPolicy { policy: &mut SeededPolicy, best_of: 0 }, &[problem(1)]),
            @"best of 0 samples improves nothing; set `best_of` to at least 1"
        );
    }
}
