//! `SCoRe`: two stages of online training on two turns, both held near the policy that they start
//! from.

use crate::domain::Key;
use crate::pipeline::PlanError;
use crate::pipeline::plan::Plan;

use super::boost;

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) -> Result<(), PlanError> {
    let start = boost::plan(plan, base, &mut Vec::new())?;
    let config = &plan.run.score;
    let mut policy = start.clone();
    for (name, stage) in [
        ("score stage 1", config.first()),
        ("score stage 2", config.second()),
    ] {
        if stage.iterations > 0 {
            policy = plan.reinforce(name, &policy, &start, stage, config.learning_rate);
            plan.evaluate(name, &policy, 1);
        }
    }
    Ok(())
}
