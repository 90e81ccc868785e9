//! The policy's reviews of its own attempts: critiques or verifications.

use crate::data::SelfReview;
use crate::domain::{
    AttemptReview, Episode, Policy, PolicyError, PolicyRequest, Problem, SampledAttempt,
    SamplingConfig, Seed,
};

use super::environment::RolloutEnvironment;
use super::graded_policy::attempt_seed;

/// Adds a review to the last turn of the episodes at `open`, each about the problem at its place.
pub(super) fn review_last_turns(
    policy: &mut dyn Policy,
    environment: &RolloutEnvironment<'_>,
    (problems, open): (&[Problem], &[usize]),
    episodes: &mut [Episode],
    sampling: &SamplingConfig,
    seed: Seed,
) -> Result<(), PolicyError> {
    let requests: Vec<PolicyRequest> = open
        .iter()
        .map(|&index| {
            let (problem, turns) = (&problems[index], &episodes[index].turns);
            let seed = attempt_seed(seed.derive("review"), problem, turns.len() - 1, 0);
            PolicyRequest::new(
                environment.review_dialogue(&problem.question, turns),
                vec![seed],
            )
        })
        .collect();
    let answers = policy.respond(&requests, sampling)?;
    for (&index, answers) in open.iter().zip(answers) {
        let said = answers
            .into_iter()
            .next()
            .map(|answer| parse_review(environment.self_review, answer));
        if let Some(turn) = episodes[index].turns.last_mut() {
            turn.review = said;
        }
    }
    Ok(())
}

fn parse_review(inquiry: Option<SelfReview>, answer: SampledAttempt) -> AttemptReview {
    let verifies = inquiry == Some(SelfReview::Verify);
    let approves = if verifies {
        SelfReview::parse_approval(&answer.text)
    } else {
        None
    };
    AttemptReview {
        text: answer.text,
        tokens: answer.tokens,
        prompt_tokens: answer.prompt_tokens,
        approves,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Dialogue, Role};
    use crate::rollout::fixtures::{grade, problem, rollout_config};
    use crate::rollout::{RolloutConfig, TurnProtocol, sequential_rollouts};

    /// Answers 7 first and 1 later, doubts every answer but 1, and records its dialogues.
    #[derive(Default)]
    struct AlternatingReviewer(Vec<Dialogue>);

    impl Policy for AlternatingReviewer {
        fn respond(
            &mut self,
            requests: &[PolicyRequest],
            _: &SamplingConfig,
        ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
            let answer = |request: &PolicyRequest| {
                let said = |role: Role| request.dialogue.0.iter().filter(move |m| m.role == role);
                let asked = said(Role::User)
                    .next_back()
                    .map_or("", |message| message.text.as_str());
                let latest = said(Role::Assistant)
                    .next_back()
                    .map_or("", |message| message.text.as_str());
                let text = match asked {
                    "Is that right?" if latest == "#### 1" => "Yes.",
                    "Is that right?" => "no",
                    "Find the mistakes in your answer." => "It is too large.",
                    _ if latest.is_empty() => "#### 7",
                    _ => "#### 1",
                };
                vec![SampledAttempt {
                    text: text.to_owned(),
                    tokens: 2,
                    prompt_tokens: 5,
                    finished: true,
                }]
            };
            self.0
                .extend(requests.iter().map(|request| request.dialogue.clone()));
            Ok(requests.iter().map(answer).collect())
        }
    }

    fn unrolled(protocol: TurnProtocol, window: Option<u32>) -> (Episode, Vec<String>) {
        let mut policy = AlternatingReviewer::default();
        let unroll = RolloutConfig {
            window,
            protocol,
            ..rollout_config(3)
        };
        let episodes =
            sequential_rollouts(&mut policy, &[problem(1)], &unroll, Seed(0), &grade).unwrap();
        let line = |dialogue: &Dialogue| {
            dialogue
                .0
                .iter()
                .map(|message| message.text.as_str())
                .collect::<Vec<_>>()
                .join(" | ")
        };
        (episodes[0].clone(), policy.0.iter().map(line).collect())
    }

    #[test]
    fn a_verified_attempt_ends_the_episode() {
        let (episode, shown) = unrolled(TurnProtocol::SelfVerify, None);
        let approvals: Vec<_> = episode
            .turns
            .iter()
            .map(|turn| turn.review.as_ref().and_then(|review| review.approves))
            .collect();
        assert_eq!(approvals, [Some(false), Some(true)]);
        insta::assert_snapshot!(shown.join("\n---\n"), @"
            What is the number 1?
            ---
            What is the number 1? | #### 7 | Is that right?
            ---
            What is the number 1? | #### 7 | Is that right? | no | That is incorrect. Try again.
            What is the number 1?
            ---
            What is the number 1? | #### 7 | Is that right? | no | That is incorrect. Try again.
            What is the number 1? | #### 1 | Is that right?
        ");
    }

    #[test]
    fn a_critique_stands_between_two_attempts_and_the_last_attempt_has_none() {
        let (episode, shown) = unrolled(TurnProtocol::SelfRefine, Some(1));
        let said: Vec<_> = episode
            .turns
            .iter()
            .map(|turn| turn.review.as_ref().map(|review| review.text.as_str()))
            .collect();
        assert_eq!(
            said,
            [Some("It is too large."), Some("It is too large."), None]
        );
        assert_eq!(
            episode.turns[0]
                .review
                .as_ref()
                .and_then(|review| review.approves),
            None
        );
        insta::assert_snapshot!(shown.join("\n---\n"), @"
            What is the number 1?
            ---
            What is the number 1? | #### 7 | Find the mistakes in your answer.
            ---
            What is the number 1? | #### 7 | Find the mistakes in your answer. | It is too large. | Use this to answer again.
            What is the number 1?
            ---
            What is the number 1? | #### 7 | Find the mistakes in your answer. | It is too large. | Use this to answer again.
            What is the number 1? | #### 1 | Find the mistakes in your answer.
            ---
            What is the number 1? | #### 1 | Find the mistakes in your answer. | It is too large. | Use this to answer again.
            What is the number 1?
        ");
    }
}
