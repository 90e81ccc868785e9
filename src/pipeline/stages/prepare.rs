//! The prepare stage: one split of a task, ready for use.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::SplitSizes;
use crate::domain::{Key, Split};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::PROBLEMS;

use super::sampling_task::FingerprintedTask;

/// Load one split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareStage {
    /// The source of the problems.
    pub task: FingerprintedTask,
    /// The split.
    pub split: Split,
    /// The number of problems.
    pub count: usize,
    /// The seed of their choice.
    pub seed: u64,
}

impl Stage for PrepareStage {
    fn kind(&self) -> StageKind {
        StageKind::Prepare
    }

    fn inputs(&self) -> Vec<Key> {
        Vec::new()
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let sizes = SplitSizes::empty(self.seed).with_split(self.split, self.count);
        let splits = self.task.config.load(&sizes)?;
        let problems = splits.problems(self.split);
        context.write_rows(PROBLEMS, problems)?;
        let counts = json!({ "problems": problems.len() });
        Ok(StageOutput::new_without_backend(&[PROBLEMS], counts))
    }
}
