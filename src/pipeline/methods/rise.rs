//! Recursive introspection: the paper's Algorithm 1 with its options.

use crate::domain::{CheckpointName, Key};
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;
use crate::train::{RoundData, RoundStart};

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    plan_rounds(plan, base, true)?;
    Ok(())
}

/// The boost's examples and the improved episodes of every round; the last round is trained and
/// evaluated only if asked for.
pub(super) fn plan_rounds(
    plan: &mut RunPlanner<'_>,
    base: &Key,
    last: bool,
) -> Result<(Vec<Key>, Vec<Key>), PlanError> {
    let run = plan.run;
    let mut data: Vec<Key> = Vec::new();
    let mut policy = boost::plan(plan, base, &mut data)?;
    let (boosted, mut episodes) = (data.clone(), Vec::new());
    for round in 1..=run.rounds.count {
        let name = CheckpointName::round(round);
        let own_turns = run.collect.own_turns.in_round(round);
        let attempts = plan.collect_rollouts(&name, round, &policy, own_turns)?;
        let improved = plan.improve_episodes(&name, round, &attempts, &policy)?;
        data.push(plan.weighted_examples(&name, &improved));
        episodes.push(improved);
        if round == run.rounds.count && !last {
            break;
        }
        let start = match run.rounds.start {
            RoundStart::Base => base,
            RoundStart::Previous => &policy,
        };
        let united = match run.rounds.data {
            RoundData::Union => &data[..],
            RoundData::Latest => &data[data.len() - 1..],
        };
        policy = plan.train(&name, start, united);
        plan.evaluate(&name, &policy, own_turns);
    }
    Ok((boosted, episodes))
}
