//! One stage from its fields to its published files.

use std::time::Instant;

use crate::domain::Observer;
use crate::model::{Threads, release_memory};

use super::context::{StageContext, StageError};
use super::oom_retry::retry_on_oom;
use super::peak_rss::PeakRss;
use super::stage_node::StageNode;
use super::workspace::{StageManifest, Workspace};

/// Performs a stage and publishes its files, which do not depend on `threads`.
///
/// # Errors
/// If the stage fails or the user stops it; in both cases its finished work stays in its working
/// folder, and the next call resumes there.
pub fn execute_stage(
    stage: &StageNode,
    workspace: &Workspace,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<StageManifest, StageError> {
    // Memory of the stage before this one must not count as this one's need.
    release_memory();
    let (started, memory) = (Instant::now(), PeakRss::start());
    let folder = workspace.working_folder(&stage.key)?;
    let mut context = StageContext::new(folder, workspace, threads, observer);
    let output = retry_on_oom(&mut context, &mut |context| stage.spec.stage().run(context))?;
    let seconds = started.elapsed().as_secs_f64() + output.earlier_seconds;
    let origin = output.origin();
    let cost = (seconds, memory.peak_bytes());
    Ok(workspace.publish(&stage.key, &output.files, cost, output.counts, origin)?)
}
