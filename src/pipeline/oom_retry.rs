//! What is done when a backend's device has no memory left: everything is given back, and the stage is
//! performed once more with half as much on the device at a time.
//!
//! Backends tell of it by panicking. What a stage had finished by then lies in its working folder and is
//! not made again. Must not know what the stage computes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::domain::StageEvent;
use crate::model::{OutOfMemory, release_memory};

use super::StageError;
use super::execute::{StageContext, StageOutput, requested_bytes_note};

/// Performs a stage; where the memory does not suffice, once more with half the batch.
pub fn retry_on_oom(
    desk: &mut StageContext<'_>,
    perform: &mut dyn FnMut(&mut StageContext<'_>) -> Result<StageOutput, StageError>,
) -> Result<StageOutput, StageError> {
    let made = catch_oom(desk, perform);
    let Err(StageError::OutOfMemory(lack)) = made else {
        return made;
    };
    let note = format!(
        "the device has no memory left{}; once more, with half as much of a batch there at a time",
        requested_bytes_note(&lack)
    );
    desk.observer.on_event(StageEvent::Note(note));
    desk.half_batch = true;
    release_stage_memory(desk);
    catch_oom(desk, perform)
}

/// One try; a backend that panics because its device has no memory left is an error.
fn catch_oom(
    desk: &mut StageContext<'_>,
    perform: &mut dyn FnMut(&mut StageContext<'_>) -> Result<StageOutput, StageError>,
) -> Result<StageOutput, StageError> {
    catch_unwind(AssertUnwindSafe(|| perform(desk))).unwrap_or_else(|panic| {
        match OutOfMemory::from_panic(panic.as_ref()) {
            Some(lack) => Err(StageError::OutOfMemory(lack)),
            None => resume_unwind(panic),
        }
    })
}

/// Gives back what the backend and this process keep of the first try.
fn release_stage_memory(desk: &StageContext<'_>) {
    release_memory();
    for place in desk.opened_contexts.take() {
        // A backend in a bad state is told by the try that follows.
        let _ = catch_unwind(AssertUnwindSafe(|| place.free_unused_memory()));
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

    /// A stage whose first tries say that there is no memory: what comes of it, what was told, and whether
    /// each try was to halve its batches.
    fn run_failing_stage(
        lacking: usize,
    ) -> (Result<StageOutput, StageError>, Vec<String>, Vec<bool>) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path());
        let (mut notes, threads, tries) = (
            NoteCollector(Vec::new()),
            Threads::new(1),
            RefCell::new(Vec::new()),
        );
        let mut desk =
            StageContext::new(folder.path().to_owned(), &workspace, &threads, &mut notes);
        let mut perform = |desk: &mut StageContext<'_>| {
            let place = desk.open_backend("flex")?;
            tries.borrow_mut().push(place.half_batch);
            assert!(
                tries.borrow().len() > lacking,
                "CUDA out of memory. Tried to allocate 2.50 GiB"
            );
            Ok(StageOutput::new_without_backend(&[], json!({})))
        };
        let made = retry_on_oom(&mut desk, &mut perform);
        (made, notes.0, tries.into_inner())
    }

    #[test]
    fn a_stage_without_memory_is_performed_once_more_with_half_the_batch() {
        let (made, notes, tries) = run_failing_stage(1);
        assert!(made.is_ok());
        assert_eq!(tries, [false, true]);
        insta::assert_snapshot!(notes.join("\n"), @"the device has no memory left (2684354560 bytes were asked for at once); once more, with half as much of a batch there at a time");
    }

    #[test]
    fn a_stage_that_has_none_twice_says_what_to_do() {
        let (made, notes, tries) = run_failing_stage(2);
        assert_eq!((notes.len(), tries), (1, vec![false, true]));
        let error = made.err().unwrap().to_string();
        insta::assert_snapshot!(error, @"the device has no memory left (2684354560 bytes were asked for at once), with half of a batch at a time either; lower `batch` or `max_tokens`, use a smaller base model, or a device with more memory");
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn other_panics_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path());
        let (mut notes, threads) = (NoteCollector(Vec::new()), Threads::new(1));
        let mut desk =
            StageContext::new(folder.path().to_owned(), &workspace, &threads, &mut notes);
        let _ = retry_on_oom(&mut desk, &mut |_| panic!("index out of bounds"));
    }
}
