//! The tokenize stage: a tokenizer from a base model's corpus.

use serde_json::json;

use crate::data::documents;
use crate::domain::{Key, Problem, Seed};
use crate::model::{Tokenizer, checkpoint};
use crate::spec::BaseSpec;

use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, PROBLEMS};

pub fn run(desk: &Desk<'_>, problems: &Key, base: &BaseSpec) -> Result<Made, StageError> {
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let documents = documents(&problems, &base.corpus, &base.wording(), Seed(base.seed));
    let texts = documents
        .iter()
        .flat_map(|document| document.messages.iter().map(|m| m.text.as_str()));
    let tokenizer = Tokenizer::train(texts, base.tokenizer.vocabulary)?;
    tokenizer.save(&desk.folder.join(checkpoint::TOKENIZER))?;
    Ok(Made::plain(
        &[checkpoint::TOKENIZER],
        json!({ "tokens": tokenizer.vocabulary() }),
    ))
}
