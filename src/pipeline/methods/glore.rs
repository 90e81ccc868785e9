//! GLoRe (Havrilla et al. 2024): models beside the generator decide when, where and how its draft
//! is refined.
//!
//! An outcome model says whether an attempt is right, a stepwise one where it first went wrong, a
//! global refinement answers again, and a local one from a given step. The verifiers are
//! fine-tuned from the base, the refinements from the generator, all on samples of the generator.

use crate::domain::{CheckpointName, Key};
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;
use crate::pipeline::stages::GloreCheckpoints;

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let generator = plan_generator(plan, base)?;
    let samples = plan.sample_attempts("glore", 1, &generator, false);
    let outcomes = plan.outcome_examples("glore outcome", std::slice::from_ref(&samples));
    let outcome = plan.train("glore outcome", base, &[outcomes]);
    let steps = plan.label_steps("glore", &samples, &generator);
    let beginnings = plan.step_examples("glore stepwise", &steps);
    let stepwise = plan.train("glore stepwise", base, &[beginnings]);
    let pairs = plan.correction_examples("glore global", &[samples]);
    let global = plan.train("glore global", &generator, &[pairs]);
    let refinements = plan.refinement_examples("glore local", &steps);
    let local = plan.train("glore local", &generator, &[refinements]);
    plan.refine_drafts(
        "glore",
        GloreCheckpoints {
            generator,
            outcome_verifier: outcome,
            step_verifier: stepwise,
            global_refiner: global,
            local_refiner: local,
        },
    );
    Ok(())
}

/// The boosted base; without a boost, the base after its reference solutions where those are given.
fn plan_generator(plan: &mut RunPlanner<'_>, base: &Key) -> Result<Key, PlanError> {
    if plan.run.boost.problems > 0 || !plan.can_train_on_references() {
        return boost::plan(plan, base, &mut Vec::new());
    }
    let solutions = plan.reference_examples(None);
    let tuned = plan.train(CheckpointName::SFT, base, &[solutions]);
    plan.evaluate(CheckpointName::SFT, &tuned, 1);
    Ok(tuned)
}
