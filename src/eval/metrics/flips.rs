//! How answers change from one turn to the next, as parts of all problems. Must not know votes.

use crate::eval::metric::{Extent, Measure};

pub(super) fn measures(extent: Extent) -> Vec<Measure> {
    (2..=extent.turns).flat_map(at).collect()
}

/// The changes from the turn before to this one. An unreadable attempt is not right.
fn at(turn: usize) -> [Measure; 4] {
    let before = turn - 1;
    [
        Measure::yes_or_no(
            format!("wrong-to-right@t{turn}"),
            Some(true),
            format!("Turn {before} is not right and turn {turn} is, as a part of all problems."),
            move |log| !log.right(before) && log.right(turn),
        ),
        Measure::yes_or_no(
            format!("right-to-wrong@t{turn}"),
            Some(false),
            format!("Turn {before} is right and turn {turn} is not, as a part of all problems."),
            move |log| log.right(before) && !log.right(turn),
        ),
        Measure::yes_or_no(
            format!("right-to-right@t{turn}"),
            Some(true),
            format!("Turn {before} is right and turn {turn} is too, as a part of all problems."),
            move |log| log.right(before) && log.right(turn),
        ),
        Measure::yes_or_no(
            format!("unchanged@t{turn}"),
            None,
            format!("Turn {turn} gives the answer of turn {before} again, or both are unreadable."),
            move |log| log.turns[before - 1].grade.answer == log.turns[turn - 1].grade.answer,
        ),
    ]
}
