//! What the sequential log answers: by its first turn, by a vote over its turns, with an oracle,
//! and turn by turn. Must not know the parallel samples.

use crate::domain::MetricName;
use crate::eval::metric::{EvalShape, MetricFn, ProblemEpisodes, grades_of_candidates};
use crate::eval::vote::{MajorityVote, majority_vote};

pub(super) fn metric_fns(extent: EvalShape) -> Vec<MetricFn> {
    let first = MetricFn::indicator(
        MetricName::vote(1, 1).into(),
        Some(true),
        "Accuracy of one sampled first attempt.".to_owned(),
        |log| log.is_right(1),
    );
    let whole = extent.turns.min(2)..=extent.turns;
    let voted = (2..=extent.turns).map(vote_metric);
    let bounds = tie_metrics(extent.turns);
    let by_turn = (1..=extent.turns).map(accuracy_metric);
    [first]
        .into_iter()
        .chain(voted)
        .chain(bounds)
        .chain(whole.map(oracle_metric))
        .chain(by_turn)
        .collect()
}

fn oracle_metric(turns: usize) -> MetricFn {
    MetricFn::indicator(
        MetricName::any_turn(turns).into(),
        Some(true),
        format!(
            "At least one of the first {turns} sequential turns is right, as an oracle would stop there."
        ),
        // The history up to the first right turn is the same with and without an oracle.
        move |log| (1..=turns).any(|turn| log.is_right(turn)),
    )
}

/// The vote over the first turns: what the log would have come to if it had ended there.
fn vote_metric(turns: usize) -> MetricFn {
    MetricFn::indicator(
        MetricName::vote(1, turns).into(),
        Some(true),
        format!(
            "The majority vote over the answers of {turns} sequential turns is right, without an oracle; \
             a tie goes to the tied answer given last."
        ),
        move |log| majority_vote(&grades_of_candidates(&log.turns[..turns])).right,
    )
}

fn accuracy_metric(turn: usize) -> MetricFn {
    MetricFn::indicator(
        MetricName::at_turn("accuracy", turn).into(),
        Some(true),
        format!("Accuracy of the attempt of turn {turn}."),
        move |log| log.is_right(turn),
    )
}

/// The ties of the vote over all turns, and what they decide; a single turn has no vote.
fn tie_metrics(turns: usize) -> Vec<MetricFn> {
    if turns < 2 {
        return Vec::new();
    }
    let vote = format!("majority vote over the answers of {turns} sequential turns");
    let measure = |name: String, better, meaning: String, read: fn(MajorityVote<'_>) -> bool| {
        MetricFn::indicator(name, better, meaning, move |log: &ProblemEpisodes<'_>| {
            read(majority_vote(&grades_of_candidates(&log.turns)))
        })
    };
    vec![
        measure(
            MetricName::ties_lost(turns).into(),
            Some(true),
            format!("The {vote} is right even if every tie is lost."),
            |vote| vote.right_if_ties_lost(),
        ),
        measure(
            MetricName::ties_won(turns).into(),
            Some(true),
            format!("The {vote} is right if every tie is won."),
            |vote| vote.right_if_ties_won,
        ),
        measure(
            MetricName::at_turn("tie", turns).into(),
            None,
            format!("Several answers lead the {vote}."),
            |vote| vote.tied,
        ),
    ]
}
