//! A second try with half the batch, after a device has run out of memory.
//!
//! Backends panic then. The stage's finished work stays in its working folder.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::domain::StageEvent;
use crate::model::{OutOfMemory, release_memory};

use super::context::{StageContext, StageError, StageOutput, requested_bytes_note};

/// Performs a stage; if the device runs out of memory, performs it again with half the batch.
pub fn retry_on_oom(
    context: &mut StageContext<'_>,
    perform: &mut dyn FnMut(&mut StageContext<'_>) -> Result<StageOutput, StageError>,
) -> Result<StageOutput, StageError> {
    let result = catch_oom(context, perform);
    let Err(StageError::OutOfMemory(error)) = result else {
        return result;
    };
    let note = format!(
        "out of device memory{}; trying again at half the batch size",
        requested_bytes_note(&error)
    );
    context.observer.on_event(StageEvent::Note(note));
    context.half_batch = true;
    release_stage_memory(context);
    catch_oom(context, perform)
}

/// One try; a panic of the backend for lack of memory becomes an error.
fn catch_oom(
    context: &mut StageContext<'_>,
    perform: &mut dyn FnMut(&mut StageContext<'_>) -> Result<StageOutput, StageError>,
) -> Result<StageOutput, StageError> {
    catch_unwind(AssertUnwindSafe(|| perform(context))).unwrap_or_else(|panic| {
        match OutOfMemory::from_panic(panic.as_ref()) {
            Some(error) => Err(StageError::OutOfMemory(error)),
            None => resume_unwind(panic),
        }
    })
}

/// Frees the memory that the backend and this process keep of the first try.
fn release_stage_memory(context: &StageContext<'_>) {
    release_memory();
    for device in context.opened_contexts.take() {
        // The next try reports a backend in a bad state.
        let _ = catch_unwind(AssertUnwindSafe(|| device.free_unused_memory()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;
    use crate::domain::Observer;
    use crate::model::Threads;
    use crate::pipeline::Workspace;

    struct NoteCollector(Vec<String>);

    impl Observer for NoteCollector {
        fn on_event(&mut self, event: StageEvent) {
            let StageEvent::Note(note) = event else {
                panic!("{event:?}")
            };
            self.0.push(note);
        }
    }

    /// A stage whose first tries run out of memory: its result, its notes, and whether each try
    /// halves its batches.
    fn run_failing_stage(
        failures: usize,
    ) -> (Result<StageOutput, StageError>, Vec<String>, Vec<bool>) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path());
        let (mut notes, threads, tries) = (
            NoteCollector(Vec::new()),
            Threads::new(1),
            RefCell::new(Vec::new()),
        );
        let mut context =
            StageContext::new(folder.path().to_owned(), &workspace, &threads, &mut notes);
        let mut perform = |context: &mut StageContext<'_>| {
            let device = context.open_backend("flex")?;
            tries.borrow_mut().push(device.half_batch);
            assert!(
                tries.borrow().len() > failures,
                "CUDA out of memory. Tried to allocate 2.50 GiB"
            );
            Ok(StageOutput::new_without_backend(&[], json!({})))
        };
        let result = retry_on_oom(&mut context, &mut perform);
        (result, notes.0, tries.into_inner())
    }

    #[test]
    fn a_stage_without_memory_is_performed_once_more_with_half_the_batch() {
        let (result, notes, tries) = run_failing_stage(1);
        assert!(result.is_ok());
        assert_eq!(tries, [false, true]);
        insta::assert_snapshot!(notes.join("\n"), @"out of device memory (2684354560 bytes at once); trying again at half the batch size");
    }

    #[test]
    fn a_stage_that_lacks_memory_twice_names_the_remedy() {
        let (result, notes, tries) = run_failing_stage(2);
        assert_eq!((notes.len(), tries), (1, vec![false, true]));
        let error = result.err().unwrap().to_string();
        insta::assert_snapshot!(error, @"out of device memory (2684354560 bytes at once), even at half the batch size; lower `batch` or `max_tokens`, or use a smaller base model or a device with more memory");
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn other_panics_pass_through() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path());
        let (mut notes, threads) = (NoteCollector(Vec::new()), Threads::new(1));
        let mut context =
            StageContext::new(folder.path().to_owned(), &workspace, &threads, &mut notes);
        let _ = retry_on_oom(&mut context, &mut |_| panic!("index out of bounds"));
    }
}
