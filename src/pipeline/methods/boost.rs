//! The preliminary supervised round (the paper's Boost): reference solutions, or a capable model's
//! own turns.

use crate::domain::{CheckpointName, Key};
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;
use crate::pipeline::stages::PolicyRef;

/// The checkpoint that a method begins with: the base, or the boosted base, whose examples are
/// added to `data`.
pub(super) fn plan(
    plan: &mut RunPlanner<'_>,
    base: &Key,
    data: &mut Vec<Key>,
) -> Result<Key, PlanError> {
    let boost = &plan.run.boost;
    if boost.problems == 0 {
        return Ok(base.clone());
    }
    let turns = boost.turns.max(1);
    let capable = match (&boost.model, &boost.openai) {
        (Some(name), _) => Some(PolicyRef::Checkpoint(
            plan.base_checkpoint(&name.as_str().into())?,
        )),
        (None, endpoint) => endpoint.clone().map(PolicyRef::Api),
    };
    let (examples, trained) = match capable {
        None => (plan.reference_examples(Some(boost.problems)), 1),
        Some(capable) => {
            let rollouts = plan.boost_rollouts(capable, boost.problems, turns);
            (plan.boost_examples(rollouts), turns - 1)
        }
    };
    data.push(examples);
    let boosted = plan.train(CheckpointName::BOOST, base, data);
    plan.evaluate(CheckpointName::BOOST, &boosted, trained);
    Ok(boosted)
}
