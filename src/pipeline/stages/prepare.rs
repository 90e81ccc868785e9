//! The prepare stage: one split of a task, as it will be used.

use serde_json::json;

use crate::data::{SplitSizes, TaskConfig};
use crate::domain::Split;

use crate::pipeline::StageError;
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, PROBLEMS};

pub fn run(
    desk: &StageContext<'_>,
    task: &TaskConfig,
    split: Split,
    sizes: &SplitSizes,
) -> Result<StageOutput, StageError> {
    let splits = task.load(sizes)?;
    let problems = splits.problems(split);
    stage_files::write_jsonl(&desk.folder.join(PROBLEMS), problems)?;
    Ok(StageOutput::new_without_backend(
        &[PROBLEMS],
        json!({ "problems": problems.len() }),
    ))
}
