//! The link stage: a checkpoint that was trained elsewhere is checked and stays where it is.

use std::path::{Path, PathBuf, absolute};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::HfCheckpoint;
use crate::domain::Key;
use crate::model::checkpoint::{CheckpointLink, LINK_FILE};
use crate::model::{CheckpointError, Tokenizer, checkpoint};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::external_checkpoint::{CheckpointFileHashes, hash_files};
use crate::pipeline::file_hashes::FileHashes;
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::POINTS;
use crate::pipeline::workspace::io_error;

/// Link a checkpoint that was trained elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStage {
    /// Its folder and its settings.
    pub checkpoint: HfCheckpoint,
    /// The hashes of its files when the plan was made.
    pub files: CheckpointFileHashes,
}

impl Stage for LinkStage {
    fn kind(&self) -> StageKind {
        StageKind::Base
    }

    fn inputs(&self) -> Vec<Key> {
        Vec::new()
    }

    /// The files' hashes stand for their place; names and descriptions change no result.
    fn map_key(&self, content: &mut Map<String, Value>) {
        content.remove("checkpoint");
        let HfCheckpoint {
            precision,
            positions,
            ..
        } = &self.checkpoint;
        content.insert("precision".to_owned(), json!(precision));
        content.insert("positions".to_owned(), json!(positions));
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let HfCheckpoint {
            hf: folder,
            precision,
            chat_template,
            positions,
            ..
        } = &self.checkpoint;
        self.check_files(&FileHashes::open(context.workspace.root()))?;
        let parameters = checkpoint::check_tensors(folder)?;
        let file = folder.join(checkpoint::TOKENIZER_FILE);
        let tokenizer = Tokenizer::load_with(&file, chat_template.as_deref())?;
        checkpoint::check_embedding_rows(folder, &tokenizer)?;
        // A template that cannot be used is found here, before any answers are trained on.
        tokenizer.check_dialogues()?;
        let template = chat_template.as_deref().map(absolute_path).transpose()?;
        let link = CheckpointLink::new(&absolute_path(folder)?, *precision, template, *positions)?;
        link.save(&context.folder)?;
        context.write_rows::<()>(POINTS, &[])?;
        let counts = json!({
            "trained_tokens": 0, "parameters": parameters,
            "vocabulary": tokenizer.vocabulary_size(),
        });
        let files = [LINK_FILE, POINTS];
        Ok(StageOutput::new_without_backend(&files, counts))
    }
}

impl LinkStage {
    /// Every file is there and is the planned one.
    fn check_files(&self, hashes: &FileHashes) -> Result<(), CheckpointError> {
        let folder = &self.checkpoint.hf;
        if let Some(member) = checkpoint::checkpoint_files(folder)
            .into_iter()
            .find(|member| !member.exists)
        {
            return Err(missing_file_error(folder, folder.join(&member.name)));
        }
        for (name, hash) in hash_files(&self.checkpoint, hashes)? {
            if self.files.get(&name) != Some(&hash) {
                return Err(CheckpointError::File {
                    action: "use",
                    path: folder.join(name),
                    reason: "it has changed since the plan was made; run the same command again"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn absolute_path(path: &Path) -> Result<PathBuf, StageError> {
    Ok(absolute(path).map_err(io_error("find", path))?)
}

fn missing_file_error(folder: &Path, path: PathBuf) -> CheckpointError {
    let pickled = folder.join("pytorch_model.bin").exists()
        || folder.join("pytorch_model.bin.index.json").exists();
    let reason = if pickled {
        "there is no such file, but weights in PyTorch's pickle format, which is not read here; \
         convert them with `model.save_pretrained(DIR)` in transformers"
    } else {
        "there is no such file; download the checkpoint again, as a whole"
    };
    CheckpointError::File {
        action: "read",
        path,
        reason: reason.to_owned(),
    }
}
