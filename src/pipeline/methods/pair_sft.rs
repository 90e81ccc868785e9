//! Pair-SFT: synthetic two-turn data from samples of the base (after Welleck et al. 2022; Kumar et
//! al. 2024, section 4).

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let mut data = Vec::new();
    let policy = boost::plan(plan, base, &mut data)?;
    let samples = plan.sample_attempts("pair-sft", 1, &policy, false);
    data.push(plan.correction_examples("pair-sft", &[samples]));
    let tuned = plan.train("pair-sft", base, &data);
    plan.evaluate("pair-sft", &tuned, 1);
    Ok(())
}
