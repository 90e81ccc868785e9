//! V-STaR (Hosseini et al. 2024): a generator as in STaR, and a verifier that learns from all of
//! its samples, right and wrong, and picks among several answers.
//!
//! The generator is fine-tuned from the base on right samples, round after round; the verifier is
//! the last generator after direct preference optimisation on pairs of a right and a wrong sample. Its
//! authors begin the verifier at the model that was fine-tuned on the references, and hold it near that
//! one; here both are the last generator.

use crate::domain::Key;
use crate::pipeline::base_models::PlanError;
use crate::pipeline::plan::RunPlanner;

use super::boost;

pub(super) fn plan(plan: &mut RunPlanner<'_>, base: &Key) -> Result<(), PlanError> {
    let run = plan.run;
    let mut boosted = Vec::new();
    let mut policy = boost::plan(plan, base, &mut boosted)?;
    let references = plan
        .can_train_on_references()
        .then(|| plan.reference_examples(None));
    let (mut samples, mut evaluation) = (Vec::new(), None);
    for round in 1..=run.rounds.count {
        let name = format!("v-star round {round}");
        samples.push(plan.sample_attempts(&name, round, &policy, false));
        let right = plan.single_turn_examples(&name, &samples, true);
        let examples: Vec<Key> = std::iter::once(right)
            .chain(references.clone())
            .chain(boosted.clone())
            .collect();
        policy = plan.train(&name, base, &examples);
        // Only what is ranked needs so many samples.
        if round == run.rounds.count {
            evaluation = Some(plan.evaluate_with_samples(&name, &policy, run.verifier.samples));
        } else {
            plan.evaluate(&name, &policy, 1);
        }
    }
    let pairs = plan.preference_pairs("v-star", &samples);
    let verifier = plan.train_dpo("v-star", &policy, &[pairs]);
    if let Some(evaluation) = evaluation {
        plan.rank_attempts("v-star", &verifier, &policy, &evaluation);
    }
    Ok(())
}
