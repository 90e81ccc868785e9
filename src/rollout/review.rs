//! What a policy says about its own attempts: a critique, or a verification.
//!
//! Responsible for asking about the latest attempt of every open episode at once. Must not know
//! what is done with the answers.

use crate::data::Inquiry;
use crate::domain::{
    Attempt, Episode, Policy, PolicyError, Problem, Request, Review, Sampling, Seed,
};

use super::attempt::seed_of;
use super::environment::Environment;

/// Adds a review to the last turn of the episodes at `open`, each about the problem at its place.
pub(super) fn review(
    policy: &mut dyn Policy,
    environment: &Environment<'_>,
    (problems, open): (&[Problem], &[usize]),
    episodes: &mut [Episode],
    sampling: &Sampling,
    seed: Seed,
) -> Result<(), PolicyError> {
    let requests: Vec<Request> = open
        .iter()
        .map(|&index| {
            let (problem, turns) = (&problems[index], &episodes[index].turns);
            let seed = seed_of(seed.named("review"), problem, turns.len() - 1, 0);
            Request::new(environment.about_last(&problem.question, turns), vec![seed])
        })
        .collect();
    let answers = policy.respond(&requests, sampling)?;
    for (&index, answers) in open.iter().zip(answers) {
        let said = answers
            .into_iter()
            .next()
            .map(|answer| of(environment.inquiry, answer));
        if let Some(turn) = episodes[index].turns.last_mut() {
            turn.review = said;
        }
    }
    Ok(())
}

fn of(inquiry: Option<Inquiry>, answer: Attempt) -> Review {
    let verifies = inquiry == Some(Inquiry::Verify);
    let approves = if verifies {
        Inquiry::approves(&answer.text)
    } else {
        None
    };
    Review {
        text: answer.text,
        tokens: answer.tokens,
        prompt: answer.prompt,
        approves,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Dialogue, Role};
    use crate::rollout::testing::{grade, plan, problem};
    use crate::rollout::{Protocol, Unroll, rollout};

    /// Answers 7 first and 1 later, doubts what is not 1, and remembers what it was shown.
    #[derive(Default)]
    struct Doubter(Vec<Dialogue>);

    impl Policy for Doubter {
        fn respond(
            &mut self,
            requests: &[Request],
            _: &Sampling,
        ) -> Result<Vec<Vec<Attempt>>, PolicyError> {
            let answer = |request: &Request| {
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
                vec![Attempt {
                    text: text.to_owned(),
                    tokens: 2,
                    prompt: 5,
                    finished: true,
                }]
            };
            self.0
                .extend(requests.iter().map(|request| request.dialogue.clone()));
            Ok(requests.iter().map(answer).collect())
        }
    }

    fn unrolled(protocol: Protocol, window: Option<u32>) -> (Episode, Vec<String>) {
        let mut policy = Doubter::default();
        let unroll = Unroll {
            window,
            protocol,
            ..plan(3)
        };
        let episodes = rollout(&mut policy, &[problem(1)], &unroll, Seed(0), &grade).unwrap();
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
        let (episode, shown) = unrolled(Protocol::SelfVerify, None);
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
        let (episode, shown) = unrolled(Protocol::SelfRefine, Some(1));
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
