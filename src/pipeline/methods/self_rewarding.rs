//! Self-rewarding correction (Xiong et al. 2025): one model solves, verifies its own attempt, and
//! corrects it where it finds it wrong.
//!
//! First fine-tuning on samples with their right verification, then direct preference
//! optimisation on its own dialogues, right endings against wrong ones.

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;
use crate::rollout::TurnProtocol;

use super::boost;

/// The most turns of the dialogues that are compared.
const MAX_TURNS: u32 = 3;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let mut data = Vec::new();
    let policy = boost::plan(plan, base, &mut data)?;
    let samples = plan.sample_attempts("self-rewarding", 1, &policy, false);
    data.push(plan.verification_examples("self-rewarding", &[samples]));
    let tuned = plan.train("self-rewarding", base, &data);
    plan.evaluate_with_protocol(TurnProtocol::SelfVerify, "self-rewarding ift", &tuned, 1);
    let dialogues = plan.self_verify_rollouts(
        "self-rewarding",
        &tuned,
        plan.run.evaluate.turns.min(MAX_TURNS),
    );
    let pairs = plan.trajectory_pairs("self-rewarding", &[dialogues]);
    let policy = plan.train_dpo("self-rewarding", &tuned, &[pairs]);
    plan.evaluate_with_protocol(TurnProtocol::SelfVerify, "self-rewarding", &policy, 1);
    Ok(())
}
