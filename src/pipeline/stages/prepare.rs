//! The prepare stage: one split of a task, as it will be used.

use serde_json::json;

use crate::data::{Sizes, TaskConfig};
use crate::domain::Split;

use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, PROBLEMS};

pub fn run(
    desk: &Desk<'_>,
    task: &TaskConfig,
    split: Split,
    sizes: &Sizes,
) -> Result<Made, StageError> {
    let splits = task.load(sizes)?;
    let problems = splits.of(split);
    files::write(&desk.folder.join(PROBLEMS), problems)?;
    Ok(Made::plain(
        &[PROBLEMS],
        json!({ "problems": problems.len() }),
    ))
}
