//! Multi-turn GRPO: the online successor of RISE, on the same prompts and with the same grader.

use crate::domain::Key;
use crate::pipeline::plan::Plan;

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) {
    let start = super::boosted(plan, base);
    let config = &plan.run.grpo;
    let policy = plan.reinforce("grpo", &start, &start, config.stage(), config.learning_rate);
    plan.evaluate("grpo", &policy, config.turns.saturating_sub(1));
}
