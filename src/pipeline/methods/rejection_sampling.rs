//! Rejection fine-tuning (Yuan et al. 2023) and STaR (Zelikman et al. 2022).
//!
//! Sample, keep what is right, fine-tune the base on it at turn 1, and sample again from the result.
//! Yuan et al. add the right samples to the references. Here the right samples are the only data, unless
//! `boost.problems` adds the references of that many problems: these boost the sampled policy, and
//! every round trains on them too.
//!
//! One round is RFT, several are ReST-EM (Singh et al. 2024). STaR adds, for problems without a
//! right sample, one with the answer as a hint.

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;
use crate::train::RoundData;

use super::boost;

pub(super) fn plan(
    plan: &mut RunPlanner<'_>,
    base: &Key,
    method: &str,
    rationalise: bool,
) -> Result<(), PlanError> {
    let run = plan.run;
    let mut boosted = Vec::new();
    let mut policy = boost::plan(plan, base, &mut boosted)?;
    let mut samples = Vec::new();
    for round in 1..=run.rounds.count {
        let name = format!("{method} round {round}");
        samples.push(plan.sample_attempts(&name, round, &policy, rationalise));
        let united = match run.rounds.data {
            RoundData::Union => &samples[..],
            RoundData::Latest => &samples[samples.len() - 1..],
        };
        let mut data = boosted.clone();
        data.push(plan.single_turn_examples(&name, united, true));
        policy = plan.train(&name, base, &data);
        plan.evaluate(&name, &policy, 1);
    }
    Ok(())
}
