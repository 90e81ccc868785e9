//! The link stage: a checkpoint that was trained elsewhere is looked at and stays where it is.

use std::path::absolute;

use serde_json::json;

use crate::model::checkpoint::{LINK, Link};
use crate::model::{CheckpointError, Tokenizer, checkpoint};

use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, POINTS};
use crate::pipeline::hashes::Hashes;
use crate::pipeline::linked::{self, LinkJob};
use crate::pipeline::workspace::fault;

pub fn run(desk: &Desk<'_>, job: &LinkJob) -> Result<Made, StageError> {
    let LinkJob {
        checkpoint: given,
        files: planned,
    } = job;
    if let Some(member) = checkpoint::members(&given.hf)
        .into_iter()
        .find(|member| !member.exists)
    {
        return Err(missing(&given.hf.join(&member.name)).into());
    }
    let now = linked::files(given, &Hashes::kept_in(desk.workspace.root()))?;
    if let Some((name, _)) = now
        .iter()
        .find(|&(name, key)| planned.get(name) != Some(key))
    {
        let (action, path) = ("use", given.hf.join(name));
        let reason =
            "it has changed since the plan was made; run the same command again".to_owned();
        return Err(CheckpointError::File {
            action,
            path,
            reason,
        }
        .into());
    }
    let parameters = checkpoint::check(&given.hf)?;
    let template = given.chat_template.as_deref();
    let tokenizer = Tokenizer::load_with(&given.hf.join(checkpoint::TOKENIZER), template)?;
    checkpoint::check_rows(&given.hf, &tokenizer)?;
    // Here rather than when the first answers are trained on.
    tokenizer.rehearse()?;
    let whole = |path: &std::path::Path| absolute(path).map_err(fault("find", path));
    let template = template.map(whole).transpose()?;
    let link = Link::new(
        &whole(&given.hf)?,
        given.precision,
        template,
        given.positions,
    )?;
    link.save(&desk.folder)?;
    files::write::<()>(&desk.folder.join(POINTS), &[])?;
    let counts = json!({ "trained_tokens": 0, "parameters": parameters, "vocabulary": tokenizer.vocabulary() });
    Ok(Made::plain(&[LINK, POINTS], counts))
}

fn missing(path: &std::path::Path) -> CheckpointError {
    let folder = path.parent().unwrap_or(path);
    let pickled = folder.join("pytorch_model.bin").exists()
        || folder.join("pytorch_model.bin.index.json").exists();
    let reason = if pickled {
        "there is no such file, but weights in PyTorch's pickle format, which is not read here; convert them with `model.save_pretrained(DIR)` in transformers"
    } else {
        "there is no such file; download the checkpoint again, as a whole"
    };
    CheckpointError::File {
        action: "read",
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
