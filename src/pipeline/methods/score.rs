//! `SCoRe`: two stages of online training on two turns, both held near the policy that they start
//! from.

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let start = boost::plan(plan, base, &mut Vec::new())?;
    let config = &plan.run.score;
    let mut policy = start.clone();
    for (name, stage) in [
        ("score stage 1", config.first_stage()),
        ("score stage 2", config.second_stage()),
    ] {
        if stage.iterations > 0 {
            policy = plan.train_online(name, &policy, &start, stage, config.learning_rate);
            plan.evaluate(name, &policy, 1);
        }
    }
    Ok(())
}
