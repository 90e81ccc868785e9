//! The prefer stage: a checkpoint from another one and pairs of which one is better.

use serde_json::json;

use crate::domain::Preference;
use crate::model::LanguageModel;
use crate::train::{Pair, Preferences, optimise};

use super::cost::Cost;
use super::start::{save, start as begin};
use super::train::{Fitting, all_fit};
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, PAIRS, POINTS};
use crate::pipeline::{Job, StageError};

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Prefer {
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
    let mut united: Vec<Preference> = Vec::new();
    for key in pairs {
        united.extend(files::read::<Preference>(&desk.workspace.file(key, PAIRS))?);
    }
    let positions = decoder.config().positions;
    let encode = |pair: &Preference| Pair::encode(pair, &tokenizer, positions);
    let Fitting {
        encoded: pairs,
        without_target,
    } = all_fit(&united, positions, encode)?;
    let mut objective = Preferences::new(&decoder, &pairs, *beta, train.clone(), *seed)?;
    let trained = optimise(&desk.folder, decoder, &mut [&mut objective], desk.observer)?;
    let reference_tokens = objective.reference_tokens;
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
    let forward = trained.counts.get("forward_tokens").copied().unwrap_or(0);
    let mut counts =
        json!({ "pairs": pairs.len(), "without_target": without_target, "steps": trained.steps });
    let scored = forward + reference_tokens;
    Cost {
        parameters,
        scored,
        trained: trained.tokens,
        ..Cost::default()
    }
    .write(&mut counts);
    Ok(Made {
        earlier: trained.earlier,
        ..Made::plain(&files, counts).on(backend)
    })
}
