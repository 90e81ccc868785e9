//! The prefer stage: a checkpoint from another one and pairs of which one is better.

use serde_json::json;

use crate::domain::PreferencePair;
use crate::model::LanguageModel;
use crate::train::{DpoObjective, EncodedPair, run_objectives};

use super::cost::ComputeCost;
use super::train::{EncodedSet, encode_all_with};
use super::training_checkpoint::{load_for_training as begin, save_trained};
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, PAIRS, POINTS};
use crate::pipeline::{StageError, StageSpec};

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Prefer {
        start,
        pairs,
        beta,
        train,
        seed,
        backend,
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let LanguageModel { decoder, tokenizer } = begin(desk, start, train, *seed, backend)?;
    let mut united: Vec<PreferencePair> = Vec::new();
    for key in pairs {
        united.extend(stage_files::read_jsonl::<PreferencePair>(
            &desk.workspace.stage_file(key, PAIRS),
        )?);
    }
    let positions = decoder.config().positions;
    let encode = |pair: &PreferencePair| EncodedPair::encode(pair, &tokenizer, positions);
    let EncodedSet {
        encoded: pairs,
        without_target,
    } = encode_all_with(&united, positions, encode)?;
    let mut objective = DpoObjective::new(&decoder, &pairs, *beta, train.clone(), *seed)?;
    let trained = run_objectives(&desk.folder, decoder, &mut [&mut objective], desk.observer)?;
    let reference_tokens = objective.reference_tokens;
    let parameters = trained.decoder.weights().parameter_count() as u64;
    let mut files = save_trained(
        desk,
        start,
        &LanguageModel {
            decoder: trained.decoder,
            tokenizer,
        },
    )?;
    stage_files::write_jsonl(&desk.folder.join(POINTS), &trained.curve)?;
    files.push(POINTS);
    let forward = trained.counts.get("forward_tokens").copied().unwrap_or(0);
    let mut counts =
        json!({ "pairs": pairs.len(), "without_target": without_target, "steps": trained.steps });
    let scored = forward + reference_tokens;
    ComputeCost {
        parameters,
        scored_tokens: scored,
        trained_tokens: trained.tokens,
        ..ComputeCost::default()
    }
    .add_to_counts(&mut counts);
    Ok(StageOutput {
        earlier_seconds: trained.earlier_seconds,
        ..StageOutput::new_without_backend(&files, counts).with_backend(backend)
    })
}
