//! Self-rewarding correction (Xiong et al. 2025): one model solves, verifies its own attempt, and
//! corrects it where it finds it wrong.
//!
//! First fine-tuning on samples with the verification that is due, then direct preference
//! optimisation on its own dialogues, right endings against wrong ones.

use crate::domain::Key;
use crate::pipeline::PlanError;
use crate::pipeline::plan::Plan;
use crate::rollout::Protocol;

use super::boost;

/// The most turns of the dialogues that are compared.
const TURNS: u32 = 3;

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) -> Result<(), PlanError> {
    let mut data = Vec::new();
    let policy = boost::plan(plan, base, &mut data)?;
    let samples = plan.sample("self-rewarding", 1, &policy, false);
    data.push(plan.verified("self-rewarding", &[samples]));
    let tuned = plan.train("self-rewarding", base, &data);
    plan.evaluate_by(Protocol::SelfVerify, "self-rewarding ift", &tuned, 1);
    let dialogues = plan.converse("self-rewarding", &tuned, plan.run.evaluate.turns.min(TURNS));
    let pairs = plan.trajectories("self-rewarding", &[dialogues]);
    let policy = plan.prefer("self-rewarding", &tuned, &[pairs]);
    plan.evaluate_by(Protocol::SelfVerify, "self-rewarding", &policy, 1);
    Ok(())
}
