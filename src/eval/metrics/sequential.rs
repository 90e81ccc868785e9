//! What the sequential log answers: by its first turn, by a vote over its turns, with an oracle,
//! and turn by turn. Must not know the parallel samples.

use crate::eval::metric::{Extent, Log, Measure, grades};
use crate::eval::vote::{Vote, majority};

pub(super) fn measures(extent: Extent) -> Vec<Measure> {
    let first = Measure::yes_or_no(
        "m1@t1".to_owned(),
        Some(true),
        "Accuracy of one sampled first attempt.".to_owned(),
        |log| log.right(1),
    );
    let whole = extent.turns.min(2)..=extent.turns;
    let voted = (2..=extent.turns).map(voted);
    let bounds = bounds(extent.turns);
    let by_turn = (1..=extent.turns).map(accuracy);
    [first]
        .into_iter()
        .chain(voted)
        .chain(bounds)
        .chain(whole.map(oracle))
        .chain(by_turn)
        .collect()
}

fn oracle(turns: usize) -> Measure {
    Measure::yes_or_no(
        format!("p1@t{turns}"),
        Some(true),
        format!(
            "At least one of the first {turns} sequential turns is right, as an oracle would stop there."
        ),
        // The history up to the first right turn is the same with and without an oracle.
        move |log| (1..=turns).any(|turn| log.right(turn)),
    )
}

/// The vote over the first turns: what the log would have come to if it had ended there.
fn voted(turns: usize) -> Measure {
    Measure::yes_or_no(
        format!("m1@t{turns}"),
        Some(true),
        format!(
            "The majority vote over the answers of {turns} sequential turns is right, without an oracle; \
             a tie goes to the tied answer given last."
        ),
        move |log| majority(&grades(&log.turns[..turns])).right,
    )
}

fn accuracy(turn: usize) -> Measure {
    Measure::yes_or_no(
        format!("accuracy@t{turn}"),
        Some(true),
        format!("Accuracy of the attempt of turn {turn}."),
        move |log| log.right(turn),
    )
}

/// The ties of the vote over all turns, and what they decide; a single turn has no vote.
fn bounds(turns: usize) -> Vec<Measure> {
    if turns < 2 {
        return Vec::new();
    }
    let vote = format!("majority vote over the answers of {turns} sequential turns");
    let measure = |name: String, better, meaning: String, read: fn(Vote<'_>) -> bool| {
        Measure::yes_or_no(name, better, meaning, move |log: &Log<'_>| {
            read(majority(&grades(&log.turns)))
        })
    };
    vec![
        measure(
            format!("m1@t{turns}-low"),
            Some(true),
            format!("The {vote} is right even if every tie is lost."),
            |vote| vote.low(),
        ),
        measure(
            format!("m1@t{turns}-high"),
            Some(true),
            format!("The {vote} is right if every tie is won."),
            |vote| vote.high,
        ),
        measure(
            format!("tie@t{turns}"),
            None,
            format!("Several answers lead the {vote}."),
            |vote| vote.tied,
        ),
    ]
}
