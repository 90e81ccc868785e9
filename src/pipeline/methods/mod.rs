//! One file per method: which steps it takes, in which order, and what is evaluated.
//!
//! A method is a function on a [`Plan`], which turns each step into a stage; equal steps of
//! different methods are one stage. To add a method, write its file, a variant of
//! [`Method`] and an arm in [`plan`].

mod grpo;
mod rise;
mod score;
mod sft;

use crate::domain::Key;
use crate::spec::{Method, RunSpec};

use super::plan::Plan;
use super::{Graph, Models, PlanError, PlannedRun};

/// Writes down the stages of one run.
///
/// # Errors
/// If a base model cannot be found or the data cannot be used.
pub fn plan(run: &RunSpec, models: &Models, graph: &mut Graph) -> Result<PlannedRun, PlanError> {
    let mut plan = Plan::new(run, models, graph)?;
    let base = plan.base(&run.base)?;
    plan.evaluate("base", &base, 1);
    match run.method {
        Method::Rise => rise::plan(&mut plan, &base)?,
        Method::Sft => sft::plan(&mut plan, &base),
        Method::Grpo => grpo::plan(&mut plan, &base),
        Method::Score => score::plan(&mut plan, &base),
    }
    Ok(plan.done)
}

/// The policy that a method starts from: the base, or what the preliminary supervised round makes
/// of it where one is asked for.
fn boosted(plan: &mut Plan<'_>, base: &Key) -> Key {
    let problems = plan.run.boost.problems;
    if problems == 0 {
        return base.clone();
    }
    let solutions = plan.solutions(Some(problems));
    let policy = plan.train("boost", base, &[solutions]);
    plan.evaluate("boost", &policy, 1);
    policy
}
