//! One more answer to a dialogue that somebody else laid out: a refinement of a draft.
//!
//! Must not know what the dialogue asks for.

use crate::domain::{
    Author, Candidate, Dialogue, Policy, PolicyError, Problem, Request, Sampling, Seed,
};

use super::attempt::{Asked, Grader, Respondent, seed_of};

/// One graded answer to each dialogue, as the second turn of its problem.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn refine(
    policy: &mut dyn Policy,
    drafts: Vec<(&Problem, Dialogue)>,
    sampling: &Sampling,
    seed: Seed,
    grade: Grader<'_>,
) -> Result<Vec<Candidate>, PolicyError> {
    let asked = drafts.into_iter().map(|(problem, dialogue)| Asked {
        problem,
        request: Request::new(dialogue, vec![seed_of(seed, problem, 1, 0)]),
    });
    let answers = Respondent {
        policy,
        author: Author::Policy,
        sampling,
        grade,
    }
    .answer(asked.collect())?;
    Ok(answers.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ScriptedPolicy;
    use crate::rollout::testing::{grade, problem};

    #[test]
    fn each_dialogue_gets_one_answer() {
        let problems = [problem(1), problem(2)];
        let mut policy =
            ScriptedPolicy::new()
                .line("one", 1, &["#### 1"])
                .line("two", 1, &["#### 1"]);
        let dialogue = |text: &str| {
            Dialogue::default()
                .user(text)
                .assistant("#### 9")
                .user("again")
        };
        let drafts = vec![
            (&problems[0], dialogue("one")),
            (&problems[1], dialogue("two")),
        ];
        let answers = refine(&mut policy, drafts, &Sampling::default(), Seed(0), &grade).unwrap();
        let right: Vec<bool> = answers
            .iter()
            .map(|answer| answer.grade.verdict.is_right())
            .collect();
        assert_eq!(right, [true, false]);
    }
}
