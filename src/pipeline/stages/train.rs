//! The train stage: a checkpoint from another one and weighted examples.

use serde_json::json;

use crate::domain::{Key, Seed, TrainingExample};
use crate::model::{LanguageModel, Tokenizer};
use crate::train::{
    EncodeError, EncodedExample, LossReduction, TrainConfig, Trainer, TrainingPhase, encode_example,
};

use super::cost::ComputeCost;
use super::training_checkpoint::{load_for_training as begin, save_trained};
use crate::pipeline::StageError;
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, EXAMPLES, POINTS};

pub fn run(
    desk: &mut StageContext<'_>,
    start: &Key,
    examples: &[Key],
    config: &TrainConfig,
    seed: Seed,
    backend: &str,
) -> Result<StageOutput, StageError> {
    let LanguageModel { decoder, tokenizer } = begin(desk, start, config, seed, backend)?;
    let mut united: Vec<TrainingExample> = Vec::new();
    for key in examples {
        united.extend(stage_files::read_jsonl::<TrainingExample>(
            &desk.workspace.stage_file(key, EXAMPLES),
        )?);
    }
    let EncodedSet {
        encoded,
        without_target,
    } = encode_all(&united, &tokenizer, decoder.config().positions)?;
    let phase = TrainingPhase {
        examples: &encoded,
        config: config.clone(),
        seed,
    };
    let trainer = Trainer {
        reduction: LossReduction::PerTarget,
        folder: &desk.folder,
    };
    let trained = trainer.train(decoder, &[phase], desk.observer)?;
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
    let mut counts = json!({
        "examples": encoded.len(),
        "targets": encoded.iter().map(|example| example.targets.len()).sum::<usize>(),
        "without_target": without_target,
        "steps": trained.steps,
    });
    ComputeCost {
        parameters,
        trained_tokens: trained.tokens,
        ..ComputeCost::default()
    }
    .add_to_counts(&mut counts);
    Ok(StageOutput {
        earlier_seconds: trained.earlier_seconds,
        ..StageOutput::new_without_backend(&files, counts).with_backend(backend)
    })
}

/// What can be trained on, in token ids.
#[derive(Debug)]
pub struct EncodedSet<E> {
    /// In the order in which it was given.
    pub encoded: Vec<E>,
    /// How many were left out because no token of theirs is a target.
    pub without_target: usize,
}

/// Every example in token ids.
pub fn encode_all(
    examples: &[TrainingExample],
    tokenizer: &Tokenizer,
    positions: usize,
) -> Result<EncodedSet<EncodedExample>, StageError> {
    encode_all_with(examples, positions, |example| {
        encode_example(example, tokenizer, positions)
    })
}

/// Everything that is trained on in token ids. What does not fit the model is an error with their
/// number, never left out; what has no target would only dilute the batches, and is counted.
pub fn encode_all_with<T, E>(
    given: &[T],
    positions: usize,
    encode: impl Fn(&T) -> Result<E, EncodeError>,
) -> Result<EncodedSet<E>, StageError> {
    let (mut encoded, mut without_target) = (Vec::with_capacity(given.len()), 0);
    let (mut count, mut longest) = (0, 0);
    for each in given {
        match encode(each) {
            Ok(fitting) => encoded.push(fitting),
            Err(EncodeError::NoTarget) => without_target += 1,
            Err(EncodeError::TooLong { tokens }) => {
                count += 1;
                longest = longest.max(tokens);
            }
            Err(EncodeError::Tokenizer(error)) => return Err(error.into()),
        }
    }
    if count > 0 {
        return Err(StageError::ExamplesTooLong {
            count,
            total: given.len(),
            positions,
            longest,
        });
    }
    Ok(EncodedSet {
        encoded,
        without_target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_counted_and_told_with_what_can_be_done() {
        let fits = |&tokens: &usize| {
            if tokens > 8 {
                Err(EncodeError::TooLong { tokens })
            } else {
                Ok(tokens)
            }
        };
        assert_eq!(encode_all_with(&[5, 8], 8, fits).unwrap().encoded, [5, 8]);
        let error = encode_all_with(&[5, 12, 9], 8, fits)
            .unwrap_err()
            .to_string();
        insta::assert_snapshot!(error, @"2 of 3 examples are longer than the model's 8 positions (the longest has 12 tokens); lower `max_tokens` or `collect.own_turns`, or leave `repeat_question` out, or give the model more: `model.positions` in the recipe of a base model, `base.positions` where it lowers what the `config.json` of a checkpoint from elsewhere allows");
    }
}
