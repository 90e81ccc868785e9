//! The parallel baseline at equal tokens rather than equal samples: later turns read longer prompts.
//!
//! Tokens are those that pass through the network, read or sampled, if what was read once is kept
//! while the dialogue goes on: parallel attempts share their question, a turn shares whatever
//! its dialogue has in common with the one before. Must not know what is voted for otherwise.

use crate::domain::MetricName;
use crate::eval::metric::{
    EvalShape, Metric, MetricFn, MetricUnit, ProblemEpisodes, grades_of_candidates,
};
use crate::eval::vote::majority_vote;

pub(super) fn metric_fns(extent: EvalShape) -> Vec<MetricFn> {
    // A turn reads at least the attempt before it and samples one of its own: with fewer first attempts
    // than twice the turns the baseline would be cut short for certain. Behind a window that slides a
    // turn reads all that is in view once more, and more would be affordable: `short` tells how often.
    if extent.samples < 2 * extent.turns || extent.turns < 2 || extent.self_verifies {
        return Vec::new();
    }
    let vote = MetricFn::indicator(
        MetricName::EQUAL_TOKENS.to_owned(),
        Some(true),
        format!(
            "The majority vote over as many first attempts (at most {}) as pass no more tokens through the \
             network than the {} sequential turns do is right.",
            extent.samples, extent.turns
        ),
        |log| {
            majority_vote(&grades_of_candidates(
                &log.first_attempts[..affordable_samples(log)],
            ))
            .right
        },
    );
    let metric = Metric {
        name: "equal-tokens-samples".to_owned(),
        version: 1,
        unit: MetricUnit::Count,
        higher_is_better: None,
        meaning: "First attempts that cost no more tokens than the sequential turns.".to_owned(),
    };
    let samples = MetricFn {
        metric,
        score: Box::new(|log| affordable_samples(log) as f64),
    };
    let cut = MetricFn::indicator(
        MetricName::EQUAL_TOKENS_SHORTAGE.to_owned(),
        Some(false),
        format!(
            "All {} first attempts cost less than the sequential turns, so that their vote is cut short.",
            extent.samples
        ),
        is_cut_short,
    );
    vec![vote, samples, cut]
}

/// Whether more first attempts than were drawn would have cost no more than the turns: one more of the
/// mean length of those that were drawn.
fn is_cut_short(log: &ProblemEpisodes<'_>) -> bool {
    let spent: u32 = log.first_attempts.iter().map(|first| first.tokens).sum();
    let count = log.first_attempts.len() as u32;
    log.first_attempts[0].prompt_tokens + spent + spent.div_ceil(count) <= sequential_tokens(log)
}

/// How many first attempts cost no more than the sequential log; at least one.
fn affordable_samples(log: &ProblemEpisodes<'_>) -> usize {
    let budget = sequential_tokens(log);
    let question = log.first_attempts[0].prompt_tokens;
    let mut spent = question;
    let fits = log.first_attempts.iter().take_while(|first| {
        spent += first.tokens;
        spent <= budget
    });
    fits.count().max(1)
}

/// Tokens read and sampled by the turns that were made.
fn sequential_tokens(log: &ProblemEpisodes<'_>) -> u32 {
    let question = log.turns[0].prompt_tokens;
    let cost = |turn: usize| {
        let attempt = log.turns[turn];
        let known = turn.checked_sub(1).map_or(0, |before| {
            let before = log.turns[before].prompt_tokens + log.turns[before].tokens;
            // A dialogue that is shorter than what was read and said before has lost its oldest
            // attempt: nothing behind the question is at its old place.
            if attempt.prompt_tokens < before {
                question
            } else {
                before
            }
        });
        attempt.prompt_tokens.saturating_sub(known) + attempt.tokens
    };
    (0..log.turns_made).map(cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Candidate, CandidateAuthor, Grade, GradeVerdict};

    fn candidate(prompt: u32, tokens: u32) -> Candidate {
        let grade = Grade {
            answer: None,
            verdict: GradeVerdict::Unreadable,
        };
        Candidate {
            author: CandidateAuthor::Policy,
            text: String::new(),
            tokens,
            prompt_tokens: prompt,
            finished: true,
            grade,
        }
    }

    #[test]
    fn later_turns_pay_for_what_they_read() {
        // A question of 20 tokens, attempts of 30, retry texts of 6.
        let turns = [candidate(20, 30), candidate(56, 30), candidate(92, 30)];
        let narrow = [candidate(20, 30), candidate(56, 30), candidate(56, 30)];
        let firsts: Vec<Candidate> = (0..9).map(|_| candidate(20, 30)).collect();
        let seen = |turns: &[Candidate], firsts: &[Candidate]| {
            let log = ProblemEpisodes {
                turns: turns.iter().collect(),
                turns_made: turns.len(),
                reviews: vec![None; turns.len()],
                first_attempts: firsts.iter().collect(),
            };
            (sequential_tokens(&log), affordable_samples(&log))
        };
        // 20 + 30, then 6 + 30 twice: the question and three attempts, and two retry texts.
        assert_eq!(seen(&turns, &firsts), (122, 3));
        // With one attempt in view the third turn reads attempt and retry text again: 36 + 30.
        assert_eq!(seen(&narrow, &firsts), (152, 4));
        assert_eq!(seen(&turns[..1], &firsts), (50, 1));
    }

    #[test]
    fn a_vote_that_could_have_had_one_more_sample_is_cut_short() {
        // Three turns of 20 + 30, 6 + 30 and 6 + 30 tokens come to 122: three attempts of 30 behind a
        // question of 20. A fourth would make it 140.
        let turns = [candidate(20, 30), candidate(56, 30), candidate(92, 30)];
        let short = |drawn: usize| {
            let firsts: Vec<Candidate> = (0..drawn).map(|_| candidate(20, 30)).collect();
            let (turns, firsts) = (turns.iter().collect(), firsts.iter().collect());
            is_cut_short(&ProblemEpisodes {
                turns,
                turns_made: 3,
                reviews: vec![None; 3],
                first_attempts: firsts,
            })
        };
        assert_eq!([2, 3, 4].map(short), [true, false, false]);
    }
}
