//! The train stage: a checkpoint from another one and weighted examples.

use serde_json::json;

use crate::domain::{Example, Key, Seed};
use crate::model::{LanguageModel, Tokenizer};
use crate::train::{Encoded, Normalise, Phase, TrainConfig, Trainer, Unfit, encode};

use super::cost::Cost;
use super::start::{save, start as begin};
use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EXAMPLES, POINTS};

pub fn run(
    desk: &mut Desk<'_>,
    start: &Key,
    examples: &[Key],
    config: &TrainConfig,
    seed: Seed,
    backend: &str,
) -> Result<Made, StageError> {
    let LanguageModel { decoder, tokenizer } = begin(desk, start, config, seed, backend)?;
    let mut united: Vec<Example> = Vec::new();
    for key in examples {
        united.extend(files::read::<Example>(&desk.workspace.file(key, EXAMPLES))?);
    }
    let Fitting {
        encoded,
        without_target,
    } = encode_all(&united, &tokenizer, decoder.config().positions)?;
    let phase = Phase {
        examples: &encoded,
        config: config.clone(),
        seed,
    };
    let trainer = Trainer {
        normalise: Normalise::Example,
        folder: &desk.folder,
    };
    let trained = trainer.train(decoder, &[phase], desk.observer)?;
    let parameters = trained.decoder.weights().count() as u64;
    let mut files = save(
        desk,
        start,
        &LanguageModel {
            decoder: trained.decoder,
            tokenizer,
        },
    )?;
    files::write(&desk.folder.join(POINTS), &trained.points)?;
    files.push(POINTS);
    let mut counts = json!({
        "examples": encoded.len(),
        "targets": encoded.iter().map(|example| example.targets.len()).sum::<usize>(),
        "without_target": without_target,
        "steps": trained.steps,
    });
    Cost {
        parameters,
        trained: trained.tokens,
        ..Cost::default()
    }
    .write(&mut counts);
    Ok(Made {
        earlier: trained.earlier,
        ..Made::plain(&files, counts).on(backend)
    })
}

/// What can be trained on, in token ids.
#[derive(Debug)]
pub struct Fitting<E> {
    /// In the order in which it was given.
    pub encoded: Vec<E>,
    /// How many were left out because no token of theirs is a target.
    pub without_target: usize,
}

/// Every example in token ids.
pub fn encode_all(
    examples: &[Example],
    tokenizer: &Tokenizer,
    positions: usize,
) -> Result<Fitting<Encoded>, StageError> {
    all_fit(examples, positions, |example| {
        encode(example, tokenizer, positions)
    })
}

/// Everything that is trained on in token ids. What does not fit the model is an error with their
/// number, never left out; what has no target would only dilute the batches, and is counted.
pub fn all_fit<T, E>(
    given: &[T],
    positions: usize,
    encode: impl Fn(&T) -> Result<E, Unfit>,
) -> Result<Fitting<E>, StageError> {
    let (mut encoded, mut without_target) = (Vec::with_capacity(given.len()), 0);
    let (mut count, mut longest) = (0, 0);
    for each in given {
        match encode(each) {
            Ok(fitting) => encoded.push(fitting),
            Err(Unfit::NoTarget) => without_target += 1,
            Err(Unfit::TooLong { tokens }) => {
                count += 1;
                longest = longest.max(tokens);
            }
            Err(Unfit::Unwritable(error)) => return Err(error.into()),
        }
    }
    if count > 0 {
        return Err(StageError::TooLong {
            count,
            total: given.len(),
            positions,
            longest,
        });
    }
    Ok(Fitting {
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
                Err(Unfit::TooLong { tokens })
            } else {
                Ok(tokens)
            }
        };
        assert_eq!(all_fit(&[5, 8], 8, fits).unwrap().encoded, [5, 8]);
        let error = all_fit(&[5, 12, 9], 8, fits).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"2 of 3 examples are longer than the model's 8 positions (the longest has 12 tokens); lower `max_tokens` or `collect.own_turns`, or leave `repeat_question` out, or give the model more: `model.positions` in the recipe of a base model, `base.positions` where it lowers what the `config.json` of a checkpoint from elsewhere allows");
    }
}
