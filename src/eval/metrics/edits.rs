//! How much of an attempt the next one keeps: no edit, a small one, or a new beginning.
//!
//! The paper shows two kinds of corrections, small edits and big ones (its section of examples);
//! SCoRe (Kumar et al. 2024) finds that fine-tuned models often stop editing at all. Texts are
//! compared by edit distance in characters, divided by the longer text's length. Must not know
//! answers beyond whether they are right.

use strsim::levenshtein;

use crate::eval::metric::{EvalShape, MetricFn, ProblemEpisodes};

/// Up to this part of the longer text an edit is small.
const MAX_SMALL_EDIT: f64 = 0.3;

pub(super) fn metric_fns(extent: EvalShape) -> Vec<MetricFn> {
    (2..=extent.turns).flat_map(edit_metrics).collect()
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
