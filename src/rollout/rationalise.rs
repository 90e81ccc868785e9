//! Attempts with the answer as a hint: STaR's rationalisation (Zelikman et al. 2022, section 3.2).
//!
//! The result counts as an attempt at the plain question; training leaves the hint out.

use crate::data::PromptConfig;
use crate::domain::{
    CandidateAuthor, Episode, Policy, PolicyError, PolicyRequest, Problem, SamplingConfig, Seed,
    Turn,
};

use super::graded_policy::{GradeFn, GradedPolicy, GradedRequest, attempt_seed};

/// One hinted attempt at each problem, as an episode of one turn with this sample number.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn rationalise(
    policy: &mut dyn Policy,
    problems: &[&Problem],
    (prompt, sampling): (&PromptConfig, &SamplingConfig),
    sample: u32,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<Vec<Episode>, PolicyError> {
    let asked = problems.iter().map(|&problem| {
        let dialogue = prompt.hinted_dialogue(&problem.question, &problem.answer);
        GradedRequest {
            problem,
            request: PolicyRequest::new(
                dialogue,
                vec![attempt_seed(seed.derive("hint"), problem, 0, sample)],
            ),
        }
    });
    let answers = GradedPolicy {
        policy,
        author: CandidateAuthor::Policy,
        sampling,
        grade,
    }
    .respond_and_grade(asked.collect())?;
    let episodes = problems
        .iter()
        .zip(answers)
        .map(|(problem, candidates)| Episode {
            problem: problem.id.clone(),
            sample,
            turns: vec![Turn::new(candidates, 0)],
        });
    Ok(episodes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ScriptedPolicy;
    use crate::rollout::fixtures::{grade, problem, prompt};

    #[test]
    fn the_answer_stands_beside_the_question() {
        let (one, prompt) = (problem(1), prompt());
        let question = format!("{}\nThe answer is {}.", one.question, one.answer);
        let mut policy = ScriptedPolicy::new().with_answers(&question, 0, &["so #### 1"]);
        let wording = (&prompt, &SamplingConfig::default());
        let episodes = rationalise(&mut policy, &[&one], wording, 9, Seed(0), &grade).unwrap();
        assert_eq!((episodes.len(), episodes[0].sample), (1, 9));
        assert!(episodes[0].ends_right());
    }
}
