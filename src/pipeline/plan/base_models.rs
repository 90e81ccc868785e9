//! The stages of a base model: its corpus, its tokenizer, its weights.

use crate::config::{BaseModelRef, BaseModelSpec};
use crate::domain::{Key, Split};
use crate::pipeline::base_models::{PlanError, ResolvedBaseModel};
use crate::pipeline::stages::{BaseStage, LinkStage, TokenizeStage};

use super::RunPlanner;

impl RunPlanner<'_> {
    /// The checkpoint of a base model.
    pub fn base_checkpoint(&mut self, base: &BaseModelRef) -> Result<Key, PlanError> {
        match self.models.for_task(base, &self.run.task)? {
            ResolvedBaseModel::Recipe(recipe) => self.pretrained_checkpoint(recipe),
            ResolvedBaseModel::External(external) => {
                let label = format!("base {}", external.checkpoint.label());
                let stage = LinkStage {
                    checkpoint: external.checkpoint,
                    files: external.files,
                };
                Ok(self.add_stage(label, stage))
            }
        }
    }

    fn pretrained_checkpoint(&mut self, base: Box<BaseModelSpec>) -> Result<Key, PlanError> {
        let task = self.models.fingerprinted(&base.task)?;
        let problems = self.prepare(task, Split::Corpus, base.problems, base.seed);
        let name = base.name.clone();
        let tokenizer = TokenizeStage {
            problems: problems.clone(),
            base: base.clone(),
        };
        let tokenizer = self.add_stage(format!("tokenize {name}"), tokenizer);
        let stage = BaseStage {
            problems,
            tokenizer,
            base,
            backend: self.run.backend.clone(),
        };
        Ok(self.add_stage(format!("base {name}"), stage))
    }
}
