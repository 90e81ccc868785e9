//! What the attempts of the sequential log are like, whatever they answer. Must not know votes.

use crate::domain::Verdict;
use crate::eval::metric::{Extent, Log, Measure, Metric, Unit};

pub(super) fn measures(_: Extent) -> Vec<Measure> {
    let unreadable = Measure::fraction(
        "unreadable".to_owned(),
        Some(false),
        "Part of the sequential turns in which no answer can be read.".to_owned(),
        |log| {
            mean(log, |turn| {
                log.turns[turn].grade.verdict == Verdict::Unreadable
            })
        },
    );
    vec![unreadable, tokens()]
}

fn tokens() -> Measure {
    let metric = Metric {
        name: "tokens".to_owned(),
        version: 1,
        unit: Unit::Tokens,
        higher_is_better: None,
        meaning: "Tokens sampled per attempt of the sequential log, end tokens included."
            .to_owned(),
    };
    Measure {
        metric,
        score: Box::new(|log| mean(log, |turn| log.turns[turn].tokens)),
    }
}

/// The mean of a value over the turns, which are numbered from 0.
fn mean<T: Into<f64>>(log: &Log<'_>, value: impl Fn(usize) -> T) -> f64 {
    let count = log.turns.len();
    (0..count).map(|turn| value(turn).into()).sum::<f64>() / count as f64
}
