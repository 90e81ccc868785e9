//! Supervised fine-tuning at turn 1: the data without any turns.
//!
//! On the reference solutions, or on the attempts of RISE's own trajectories, improved ones
//! included: the paper's rows "SFT on oracle data", with only correct data and with both.

use crate::domain::{CheckpointName, Key};
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;

use super::rise;

/// On the reference solutions.
pub(super) fn plan_on_references(plan: &mut RunPlanner<'_>, base: &Key) {
    let solutions = plan.reference_examples(None);
    let tuned = plan.train(CheckpointName::SFT, base, &[solutions]);
    plan.evaluate(CheckpointName::SFT, &tuned, 1);
}

/// On every attempt of the data that RISE's last round trains on, or on the right ones.
pub(super) fn plan_on_rise_data(
    plan: &mut RunPlanner<'_>,
    base: &Key,
    right_only: bool,
) -> Result<(), PlanError> {
    let name = if right_only {
        "sft-right"
    } else {
        "sft-right-and-wrong"
    };
    let (mut data, episodes) = rise::plan_rounds(plan, base, false)?;
    data.push(plan.single_turn_examples(name, &episodes, right_only));
    let tuned = plan.train(name, base, &data);
    plan.evaluate(name, &tuned, 1);
    Ok(())
}
