//! Accuracy of the sequential log: of its first turn, of a vote over turns, with an oracle, by turn.

use crate::domain::{EvalShape, MetricName};
use crate::eval::metric::{MetricFn, ProblemEpisodes, grades_of_candidates};
use crate::eval::vote::{MajorityVote, majority_vote};

pub(super) fn metric_fns(shape: EvalShape) -> Vec<MetricFn> {
    let first = MetricFn::indicator(
        MetricName::vote(1, 1).into(),
        Some(true),
        "Accuracy of one sampled first attempt.".to_owned(),
        |log| log.is_right(1),
    );
    let whole = shape.turns.min(2)..=shape.turns;
    let voted = (2..=shape.turns).map(vote_metric);
    let bounds = tie_metrics(shape.turns);
    let by_turn = (1..=shape.turns).map(accuracy_metric);
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

/// The vote over the first turns, as if the log had ended there.
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
    vec![
        MetricFn::indicator(
            MetricName::ties_lost(turns).into(),
            Some(true),
            format!("The {vote} is right even if every tie is lost."),
            |log| vote_over_turns(log).right_if_ties_lost(),
        ),
        MetricFn::indicator(
            MetricName::ties_won(turns).into(),
            Some(true),
            format!("The {vote} is right if every tie is won."),
            |log| vote_over_turns(log).right_if_ties_won,
        ),
        MetricFn::indicator(
            MetricName::at_turn("tie", turns).into(),
            None,
            format!("Several answers lead the {vote}."),
            |log| vote_over_turns(log).tied,
        ),
    ]
}

fn vote_over_turns<'a>(log: &ProblemEpisodes<'a>) -> MajorityVote<'a> {
    majority_vote(&grades_of_candidates(&log.turns))
}
