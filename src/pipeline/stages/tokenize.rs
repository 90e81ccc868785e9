//! The tokenize stage: a tokenizer from a base model's corpus.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::{BaseModelSpec, canonical_json};
use crate::data::corpus_documents;
use crate::domain::{Key, Seed};
use crate::model::{Tokenizer, checkpoint};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::PROBLEMS;
use crate::pipeline::stage_node::keyed_prompt;
use crate::pipeline::time_estimate::RunSizes;

/// Train a tokenizer on a prepared corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenizeStage {
    /// The stage with the problems.
    pub problems: Key,
    /// The base model's recipe.
    pub base: Box<BaseModelSpec>,
}

impl Stage for TokenizeStage {
    fn kind(&self) -> StageKind {
        StageKind::Tokenize
    }

    fn inputs(&self) -> Vec<Key> {
        vec![self.problems.clone()]
    }

    /// The part of the recipe that makes the tokenizer.
    fn map_key(&self, content: &mut Map<String, Value>) {
        content.remove("base");
        let base = &self.base;
        content.insert("tokenizer".to_owned(), canonical_json(&base.tokenizer));
        content.insert("corpus".to_owned(), canonical_json(&base.corpus));
        content.insert("prompt".to_owned(), keyed_prompt(base.corpus_prompt()));
        content.insert("seed".to_owned(), json!(base.seed));
    }

    fn estimated_seconds(&self, _: &RunSizes) -> f64 {
        3.0
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems = context.read_rows(&self.problems, PROBLEMS)?;
        let (base, seed) = (&self.base, Seed(self.base.seed));
        let documents = corpus_documents(&problems, &base.corpus, &base.corpus_prompt(), seed);
        let texts = documents
            .iter()
            .flat_map(|document| document.messages.iter().map(|m| m.text.as_str()));
        let tokenizer = Tokenizer::train(texts, base.tokenizer.vocabulary)?;
        tokenizer.save(&context.folder.join(checkpoint::TOKENIZER_FILE))?;
        Ok(StageOutput::new_without_backend(
            &[checkpoint::TOKENIZER_FILE],
            json!({ "tokens": tokenizer.vocabulary_size() }),
        ))
    }
}
