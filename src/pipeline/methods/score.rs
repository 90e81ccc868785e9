//! `SCoRe`: two stages of online training on two turns, both held near the policy that they start
//! from.

use crate::domain::Key;
use crate::pipeline::plan::Plan;

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) {
    let start = super::boosted(plan, base);
    let config = &plan.run.score;
    let mut policy = start.clone();
    for (name, stage) in [("score stage 1", config.first()), ("score stage 2", config.second())] {
        if stage.iterations > 0 {
            policy = plan.reinforce(name, &policy, &start, stage, config.learning_rate);
            plan.evaluate(name, &policy, 1);
        }
    }
}
