//! The tokenize stage: a tokenizer from a base model's corpus.

use serde_json::json;

use crate::config::BaseModelSpec;
use crate::data::corpus_documents;
use crate::domain::{Key, Problem, Seed};
use crate::model::{Tokenizer, checkpoint};

use crate::pipeline::StageError;
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, PROBLEMS};

pub fn run(
    desk: &StageContext<'_>,
    problems: &Key,
    base: &BaseModelSpec,
) -> Result<StageOutput, StageError> {
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let documents = corpus_documents(
        &problems,
        &base.corpus,
        &base.corpus_prompt(),
        Seed(base.seed),
    );
    let texts = documents
        .iter()
        .flat_map(|document| document.messages.iter().map(|m| m.text.as_str()));
    let tokenizer = Tokenizer::train(texts, base.tokenizer.vocabulary)?;
    tokenizer.save(&desk.folder.join(checkpoint::TOKENIZER_FILE))?;
    Ok(StageOutput::new_without_backend(
        &[checkpoint::TOKENIZER_FILE],
        json!({ "tokens": tokenizer.vocabulary_size() }),
    ))
}
