//! The link stage: a checkpoint that was trained elsewhere is looked at and stays where it is.

use std::path::absolute;

use serde_json::json;

use crate::model::checkpoint::{CheckpointLink, LINK_FILE};
use crate::model::{CheckpointError, Tokenizer, checkpoint};

use crate::pipeline::StageError;
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::external_checkpoint::{self, LinkCheckpoint};
use crate::pipeline::file_hashes::FileHashes;
use crate::pipeline::stage_files::{self, POINTS};
use crate::pipeline::workspace::io_error;

pub fn run(desk: &StageContext<'_>, job: &LinkCheckpoint) -> Result<StageOutput, StageError> {
    let LinkCheckpoint {
        checkpoint: given,
        files: planned,
    } = job;
    if let Some(member) = checkpoint::checkpoint_files(&given.hf)
        .into_iter()
        .find(|member| !member.exists)
    {
        return Err(missing_file_error(&given.hf.join(&member.name)).into());
    }
    let now = external_checkpoint::hash_files(given, &FileHashes::open(desk.workspace.root()))?;
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
    let parameters = checkpoint::check_tensors(&given.hf)?;
    let template = given.chat_template.as_deref();
    let tokenizer = Tokenizer::load_with(&given.hf.join(checkpoint::TOKENIZER_FILE), template)?;
    checkpoint::check_embedding_rows(&given.hf, &tokenizer)?;
    // Here rather than when the first answers are trained on.
    tokenizer.check_dialogues()?;
    let whole = |path: &std::path::Path| absolute(path).map_err(io_error("find", path));
    let template = template.map(whole).transpose()?;
    let link = CheckpointLink::new(
        &whole(&given.hf)?,
        given.precision,
        template,
        given.positions,
    )?;
    link.save(&desk.folder)?;
    stage_files::write_jsonl::<()>(&desk.folder.join(POINTS), &[])?;
    let counts = json!({ "trained_tokens": 0, "parameters": parameters, "vocabulary": tokenizer.vocabulary_size() });
    Ok(StageOutput::new_without_backend(
        &[LINK_FILE, POINTS],
        counts,
    ))
}

fn missing_file_error(path: &std::path::Path) -> CheckpointError {
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
