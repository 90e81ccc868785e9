//! One attempt: its seed, and its way from a policy to a graded candidate.

use crate::domain::{
    Candidate, CandidateAuthor, Grade, Policy, PolicyError, PolicyRequest, Problem, SampledAttempt,
    SamplingConfig, Seed,
};

/// Grades a text as the answer to a problem.
pub type GradeFn<'a> = &'a dyn Fn(&Problem, &str) -> Grade;

/// The seed of one attempt, derived from the names of problem, turn and sample.
///
/// Sample 0 of a turn belongs to the sequential log, so the log's first turn and the further
/// parallel samples of the same problem are independent samples of one family.
pub(super) fn attempt_seed(seed: Seed, problem: &Problem, turn: usize, sample: u32) -> Seed {
    seed.derive(&problem.id)
        .derive("turn")
        .derive_indexed(turn as u64)
        .derive("sample")
        .derive_indexed(u64::from(sample))
}

/// A request to a policy, and the problem that grades its answers.
pub(super) struct GradedRequest<'a> {
    pub(super) problem: &'a Problem,
    pub(super) request: PolicyRequest,
}

/// A policy with its sampling and a grader.
pub(super) struct GradedPolicy<'a> {
    pub(super) policy: &'a mut dyn Policy,
    pub(super) author: CandidateAuthor,
    pub(super) sampling: &'a SamplingConfig,
    pub(super) grade: GradeFn<'a>,
}

impl GradedPolicy<'_> {
    /// The graded answers, one list per request and one candidate per seed, in order.
    pub(super) fn respond_and_grade(
        &mut self,
        requests: Vec<GradedRequest<'_>>,
    ) -> Result<Vec<Vec<Candidate>>, PolicyError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let (problems, requests): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|graded| (graded.problem, graded.request))
            .unzip();
        let answers = self.policy.respond(&requests, self.sampling)?;
        let given: Vec<usize> = answers.iter().map(Vec::len).collect();
        let wanted: Vec<usize> = requests.iter().map(|request| request.seeds.len()).collect();
        if given != wanted {
            return Err(wrong_count_error(&given, &wanted));
        }
        Ok(problems
            .into_iter()
            .zip(answers)
            .map(|(problem, attempts)| {
                let attempts = attempts.into_iter();
                attempts
                    .map(|attempt| self.grade_attempt(problem, attempt))
                    .collect()
            })
            .collect())
    }

    fn grade_attempt(&self, problem: &Problem, attempt: SampledAttempt) -> Candidate {
        let grade = (self.grade)(problem, &attempt.text);
        Candidate {
            author: self.author,
            text: attempt.text,
            tokens: attempt.tokens,
            prompt_tokens: attempt.prompt_tokens,
            finished: attempt.finished,
            grade,
        }
    }
}

fn wrong_count_error(given: &[usize], wanted: &[usize]) -> PolicyError {
    let (given, wanted): (usize, usize) = (given.iter().sum(), wanted.iter().sum());
    PolicyError::Other(format!(
        "the policy gave {given} attempts where {wanted} were asked for, or gave them to other dialogues; \
         a policy must answer every request once per seed, in order"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Dialogue;
    use crate::rollout::fixtures::{grade, problem};

    struct DroppingPolicy;

    impl Policy for DroppingPolicy {
        fn respond(
            &mut self,
            requests: &[PolicyRequest],
            _: &SamplingConfig,
        ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
            Ok(requests.iter().skip(1).map(|_| Vec::new()).collect())
        }
    }

    #[test]
    fn every_attempt_has_a_seed_of_its_own() {
        let problems = [problem(1), problem(2)];
        let mut seeds: Vec<u64> = Vec::new();
        for problem in &problems {
            for turn in 0..3 {
                seeds.extend((0..3).map(|sample| attempt_seed(Seed(5), problem, turn, sample).0));
            }
        }
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 18);
    }

    #[test]
    fn a_policy_that_leaves_something_out_is_an_error_and_not_a_shorter_log() {
        let problem = problem(1);
        let request = PolicyRequest::new(Dialogue::default().user("?"), vec![Seed(1), Seed(2)]);
        let sampling = SamplingConfig::default();
        let mut respondent = GradedPolicy {
            policy: &mut DroppingPolicy,
            author: CandidateAuthor::Policy,
            sampling: &sampling,
            grade: &grade,
        };
        let error = respondent
            .respond_and_grade(vec![GradedRequest {
                problem: &problem,
                request,
            }])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("gave 0 attempts where 2 were asked for"),
            "{error}"
        );
    }
}
