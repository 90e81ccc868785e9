//! One file per method: which steps it takes, in which order, and what is evaluated.
//!
//! A method is a function on a [`RunPlanner`], which turns each step into a stage; equal steps of
//! different methods are one stage. To add a method, write its file, a variant of [`Method`] and an
//! arm in [`plan_run`].

mod boost;
mod glore;
mod grpo;
mod pair_sft;
mod rejection_sampling;
mod rise;
mod score;
mod self_refine;
mod self_rewarding;
mod sft;
mod v_star;

use crate::config::{Method, RunSpec};
use crate::domain::CheckpointName;

use super::base_models::{BaseModelRegistry, PlanError};
use super::plan::RunPlanner;
use super::stage_graph::{RunStages, StageGraph};

/// Writes down the stages of one run.
///
/// # Errors
/// If a base model cannot be found or the data cannot be used.
pub fn plan_run(
    run: &RunSpec,
    models: &BaseModelRegistry,
    graph: &mut StageGraph,
) -> Result<RunStages, PlanError> {
    let mut plan = RunPlanner::new(run, models, graph)?;
    let base = plan.base_checkpoint(&run.base)?;
    plan.evaluate(CheckpointName::BASE, &base, 1);
    match run.method {
        Method::Rise => rise::plan(&mut plan, &base)?,
        Method::Sft => sft::plan_on_references(&mut plan, &base),
        Method::SftRight => sft::plan_on_rise_data(&mut plan, &base, true)?,
        Method::SftRightAndWrong => sft::plan_on_rise_data(&mut plan, &base, false)?,
        Method::Rft => rejection_sampling::plan(&mut plan, &base, "rft", false)?,
        Method::Star => rejection_sampling::plan(&mut plan, &base, "star", true)?,
        Method::PairSft => pair_sft::plan(&mut plan, &base)?,
        Method::SelfRefine => self_refine::plan(&mut plan, &base)?,
        Method::SelfRewarding => self_rewarding::plan(&mut plan, &base)?,
        Method::VStar => v_star::plan(&mut plan, &base)?,
        Method::Glore => glore::plan(&mut plan, &base)?,
        Method::Grpo => grpo::plan(&mut plan, &base)?,
        Method::Score => score::plan(&mut plan, &base)?,
    }
    plan.evaluate_last_checkpoint();
    Ok(plan.run_stages)
}
