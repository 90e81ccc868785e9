//! Multi-turn GRPO: the online successor of RISE, on the same prompts and with the same grader.

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let start = boost::plan(plan, base, &mut Vec::new())?;
    let config = &plan.run.grpo;
    let policy = plan.train_online(
        "grpo",
        &start,
        &start,
        config.online_stage(),
        config.learning_rate,
    );
    plan.evaluate("grpo", &policy, config.turns.saturating_sub(1));
    Ok(())
}
