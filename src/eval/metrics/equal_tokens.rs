//! The parallel baseline at equal tokens rather than equal samples: later turns read longer prompts.
//!
//! Tokens are those that pass through the network, read or sampled, with a cached prefix: parallel
//! attempts share their question, and a turn shares the common prefix with the dialogue before.

use crate::domain::{EvalShape, MetricName};
use crate::eval::metric::{Metric, MetricFn, MetricUnit, ProblemEpisodes, grades_of_candidates};
use crate::eval::vote::majority_vote;

pub(super) fn metric_fns(shape: EvalShape) -> Vec<MetricFn> {
    // A turn reads at least the attempt before it and samples its own, so fewer first attempts than
    // twice the turns always cut the baseline short. A sliding window makes a turn read all that is
    // in view again, and more attempts would be affordable: `short` counts those problems.
    if shape.samples < 2 * shape.turns || shape.turns < 2 || shape.self_verifies {
        return Vec::new();
    }
    let vote = MetricFn::indicator(
        MetricName::EQUAL_TOKENS.to_owned(),
        Some(true),
        format!(
            "The majority vote over as many first attempts (at most {}) as pass no more tokens through the \
             network than the {} sequential turns do is right.",
            shape.samples, shape.turns
        ),
        |log| {
            majority_vote(&grades_of_candidates(
                &log.first_attempts[..affordable_samples(log)],
            ))
            .right
        },
    );
    let samples = MetricFn {
        metric: Metric::new(
            "equal-tokens-samples",
            MetricUnit::Count,
            None,
            "First attempts that cost no more tokens than the sequential turns.",
        ),
        score: Box::new(|log| affordable_samples(log) as f64),
    };
    let cut = MetricFn::indicator(
        MetricName::EQUAL_TOKENS_SHORTAGE.to_owned(),
        Some(false),
        format!(
            "All {} first attempts cost less than the sequential turns, so that their vote is cut short.",
            shape.samples
        ),
        is_cut_short,
    );
    vec![vote, samples, cut]
}

/// Whether one more first attempt, of the mean length of the samples, would have cost no more than
/// the turns.
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

/// Tokens read and sampled by the turns.
fn sequential_tokens(log: &ProblemEpisodes<'_>) -> u32 {
    let question = log.turns[0].prompt_tokens;
    let mut cached = 0;
    let mut spent = 0;
    for attempt in &log.turns[..log.turns_made] {
        // A dialogue that is shorter than the tokens before has lost its oldest attempt, and
        // everything after the question has moved.
        if attempt.prompt_tokens < cached {
            cached = question;
        }
        spent += attempt.prompt_tokens.saturating_sub(cached) + attempt.tokens;
        cached = attempt.prompt_tokens + attempt.tokens;
    }
    spent
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
