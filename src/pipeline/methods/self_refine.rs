//! Self-Refine (Madaan et al. 2023): nothing is trained; the model criticises its own answer and
//! then refines it.

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;
use crate::rollout::TurnProtocol;

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let policy = boost::plan(plan, base, &mut Vec::new())?;
    plan.evaluate_with_protocol(TurnProtocol::SelfRefine, "self-refine", &policy, 1);
    Ok(())
}
