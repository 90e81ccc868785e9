//! Supervised fine-tuning at turn 1: what the data gives without any turns.
//!
//! On the reference solutions, or on the attempts of RISE's own trajectories, improved ones
//! included: the paper's rows "SFT on oracle data", with only correct data and with both.

use crate::domain::Key;
use crate::pipeline::PlanError;
use crate::pipeline::plan::Plan;

use super::rise;

/// On the reference solutions.
pub(super) fn on_references(plan: &mut Plan<'_>, base: &Key) {
    let solutions = plan.solutions(None);
    let tuned = plan.train("sft", base, &[solutions]);
    plan.evaluate("sft", &tuned, 1);
}

/// On every attempt of the data that RISE's last round trains on, or on the right ones.
pub(super) fn on_rise_data(
    plan: &mut Plan<'_>,
    base: &Key,
    right_only: bool,
) -> Result<(), PlanError> {
    let name = if right_only {
        "sft-right"
    } else {
        "sft-right-and-wrong"
    };
    let (mut data, episodes) = rise::rounds(plan, base, false)?;
    data.push(plan.answers(name, &episodes, right_only));
    let tuned = plan.train(name, base, &data);
    plan.evaluate(name, &tuned, 1);
    Ok(())
}
