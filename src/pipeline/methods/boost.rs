//! The preliminary supervised round (the paper's Boost): reference solutions, or a capable model's
//! own turns.

use crate::domain::Key;
use crate::pipeline::plan::Plan;
use crate::pipeline::{PlanError, PolicyJob};

/// The checkpoint that a method begins with: the base, or the boosted base, whose examples are
/// added to `data`.
pub(super) fn plan(plan: &mut Plan<'_>, base: &Key, data: &mut Vec<Key>) -> Result<Key, PlanError> {
    let boost = &plan.run.boost;
    if boost.problems == 0 {
        return Ok(base.clone());
    }
    let turns = boost.turns.max(1);
    let capable = match (&boost.model, &boost.openai) {
        (Some(name), _) => Some(PolicyJob::Checkpoint(plan.base(&name.as_str().into())?)),
        (None, endpoint) => endpoint.clone().map(PolicyJob::Remote),
    };
    let (examples, trained) = match capable {
        None => (plan.solutions(Some(boost.problems)), 1),
        Some(capable) => {
            let episodes = plan.capable(capable, boost.problems, turns);
            (plan.imitate(&episodes), turns - 1)
        }
    };
    data.push(examples);
    let boosted = plan.train("boost", base, data);
    plan.evaluate("boost", &boosted, trained);
    Ok(boosted)
}
