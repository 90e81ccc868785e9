//! Refinements of drafts: one answer to each dialogue of the caller.

use crate::domain::{
    Candidate, CandidateAuthor, Dialogue, Policy, PolicyError, PolicyRequest, Problem,
    SamplingConfig, Seed,
};

use super::graded_policy::{GradeFn, GradedPolicy, GradedRequest, attempt_seed};

/// One graded answer to each dialogue, as the second turn of its problem.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn refine_drafts(
    policy: &mut dyn Policy,
    drafts: Vec<(&Problem, Dialogue)>,
    sampling: &SamplingConfig,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<Vec<Candidate>, PolicyError> {
    let asked = drafts.into_iter().map(|(problem, dialogue)| GradedRequest {
        problem,
        request: PolicyRequest::new(dialogue, vec![attempt_seed(seed, problem, 1, 0)]),
    });
    let answers = GradedPolicy {
        policy,
        author: CandidateAuthor::Policy,
        sampling,
        grade,
    }
    .respond_and_grade(asked.collect())?;
    Ok(answers.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ScriptedPolicy;
    use crate::rollout::fixtures::{grade, problem};

    #[test]
    fn each_dialogue_gets_one_answer() {
        let problems = [problem(1), problem(2)];
        let mut policy = ScriptedPolicy::new()
            .with_answers("one", 1, &["#### 1"])
            .with_answers("two", 1, &["#### 1"]);
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
        let answers = refine_drafts(
            &mut policy,
            drafts,
            &SamplingConfig::default(),
            Seed(0),
            &grade,
        )
        .unwrap();
        let right: Vec<bool> = answers
            .iter()
            .map(|answer| answer.grade.verdict.is_right())
            .collect();
        assert_eq!(right, [true, false]);
    }
}
