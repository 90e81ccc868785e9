//! How answers change from one turn to the next, as parts of all problems. Must not know votes.

use crate::eval::metric::{EvalShape, MetricFn};

pub(super) fn metric_fns(extent: EvalShape) -> Vec<MetricFn> {
    (2..=extent.turns).flat_map(transition_metrics).collect()
}

/// The changes from the turn before to this one. An unreadable attempt is not right.
fn transition_metrics(turn: usize) -> [MetricFn; 4] {
    let before = turn - 1;
    [
        MetricFn::indicator(
            format!("wrong-to-right@t{turn}"),
            Some(true),
            format!("Turn {before} is not right and turn {turn} is, as a part of all problems."),
            move |log| !log.is_right(before) && log.is_right(turn),
        ),
        MetricFn::indicator(
            format!("right-to-wrong@t{turn}"),
            Some(false),
            format!("Turn {before} is right and turn {turn} is not, as a part of all problems."),
            move |log| log.is_right(before) && !log.is_right(turn),
        ),
        MetricFn::indicator(
            format!("right-to-right@t{turn}"),
            Some(true),
            format!("Turn {before} is right and turn {turn} is too, as a part of all problems."),
            move |log| log.is_right(before) && log.is_right(turn),
        ),
        MetricFn::indicator(
            format!("unchanged@t{turn}"),
            None,
            format!("Turn {turn} gives the answer of turn {before} again, or both are unreadable."),
            move |log| log.turns[before - 1].grade.answer == log.turns[turn - 1].grade.answer,
        ),
    ]
}
