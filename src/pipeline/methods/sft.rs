//! Supervised fine-tuning on the reference solutions at turn 1: what the teacher's data gives
//! without any turns.

use crate::domain::Key;
use crate::pipeline::plan::Plan;

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) {
    let solutions = plan.solutions(None);
    let tuned = plan.train("sft", base, &[solutions]);
    plan.evaluate("sft", &tuned, 1);
}
