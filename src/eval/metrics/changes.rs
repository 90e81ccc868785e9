//! Changes from one turn to the next: of the verdict, and of the text.
//!
//! The paper shows two kinds of corrections, small edits and big ones (its section of examples);
//! `SCoRe` (Kumar et al. 2024) finds that fine-tuned models often stop editing at all. The size of
//! an edit is the edit distance in characters, divided by the length of the longer text.

use strsim::levenshtein;

use crate::domain::EvalShape;
use crate::eval::metric::{MetricFn, ProblemEpisodes};

/// The largest part of the longer text that a small edit changes.
const MAX_SMALL_EDIT: f64 = 0.3;

pub(super) fn metric_fns(shape: EvalShape) -> Vec<MetricFn> {
    let transitions = (2..=shape.turns).flat_map(transition_metrics);
    let edits = (2..=shape.turns).flat_map(edit_metrics);
    transitions.chain(edits).collect()
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

fn edit_metrics(turn: usize) -> [MetricFn; 3] {
    let before = turn - 1;
    [
        MetricFn::fraction(
            format!("edit@t{turn}"),
            None,
            format!(
                "Edit distance between the texts of turns {before} and {turn}, as a part of the longer one."
            ),
            move |log| edit_distance_ratio(log, turn),
        ),
        MetricFn::indicator(
            format!("same@t{turn}"),
            None,
            format!("Turn {turn} repeats the text of turn {before} word for word."),
            move |log| log.turns[turn - 2].text == log.turns[turn - 1].text,
        ),
        MetricFn::indicator(
            format!("corrected-small@t{turn}"),
            Some(true),
            format!(
                "Turn {turn} corrects turn {before} by an edit of at most {:.0} %; other corrections are big.",
                MAX_SMALL_EDIT * 100.0
            ),
            move |log| {
                !log.is_right(turn - 1)
                    && log.is_right(turn)
                    && edit_distance_ratio(log, turn) <= MAX_SMALL_EDIT
            },
        ),
    ]
}

fn edit_distance_ratio(log: &ProblemEpisodes<'_>, turn: usize) -> f64 {
    let (before, after) = (
        log.turns[turn - 2].text.as_str(),
        log.turns[turn - 1].text.as_str(),
    );
    let longer = before.chars().count().max(after.chars().count());
    if longer == 0 {
        0.0
    } else {
        levenshtein(before, after) as f64 / longer as f64
    }
}
