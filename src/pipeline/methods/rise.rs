//! Recursive introspection: the paper's Algorithm 1 with its options.

use crate::domain::Key;
use crate::pipeline::PlanError;
use crate::pipeline::plan::Plan;
use crate::train::{Data, Start};

use super::boost;

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) -> Result<(), PlanError> {
    rounds(plan, base, true)?;
    Ok(())
}

/// The boost's examples and the improved episodes of every round; the last round is trained and
/// evaluated only if asked for.
pub(super) fn rounds(
    plan: &mut Plan<'_>,
    base: &Key,
    last: bool,
) -> Result<(Vec<Key>, Vec<Key>), PlanError> {
    let run = plan.run;
    let mut data: Vec<Key> = Vec::new();
    let mut policy = boost::plan(plan, base, &mut data)?;
    let (boosted, mut episodes) = (data.clone(), Vec::new());
    for round in 1..=run.rounds.count {
        let name = format!("round {round}");
        let own_turns = run.collect.own_turns.in_round(round);
        let attempts = plan.collect(&name, round, &policy, own_turns)?;
        let improved = plan.improve(&name, round, &attempts, &policy)?;
        data.push(plan.weigh(&name, &improved));
        episodes.push(improved);
        if round == run.rounds.count && !last {
            break;
        }
        let start = match run.rounds.start {
            Start::Base => base,
            Start::Previous => &policy,
        };
        let united = match run.rounds.data {
            Data::Union => &data[..],
            Data::Latest => &data[data.len() - 1..],
        };
        policy = plan.train(&name, start, united);
        plan.evaluate(&name, &policy, own_turns);
    }
    Ok((boosted, episodes))
}
