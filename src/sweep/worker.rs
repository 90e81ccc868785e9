//! The life of a worker process: take an order, execute the stage, say what came of it.
//!
//! Hides how orders arrive while a stage is being executed. Opens no database and knows nothing
//! of the other workers.

use std::any::Any;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{Observer, StageEvent};
use crate::model::Threads;
use crate::pipeline::{StageError, StageManifest, StageNode, Workspace, execute_stage};

use super::protocol::{WorkerReply, WorkerRequest, receive, send};

/// Progress is told at most this often; a terminal shows no more.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Serves orders from `input` until it ends, answering on `output`.
///
/// `orphaned` is called on another thread as soon as `input` ends, even in the middle of a stage:
/// the coordinator is gone then, and a worker that went on would race with that of the next sweep.
///
/// # Errors
/// If `output` is closed.
pub fn serve(
    workspace: &Workspace,
    input: impl BufRead + Send + 'static,
    output: &mut impl Write,
    orphaned: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // One number for the life of the process: whoever works reads it, the listener changes it.
    let threads = Threads::default();
    let perform = |stage: &StageNode, observer: &mut dyn Observer| {
        execute_stage(stage, workspace, &threads, observer)
    };
    serve_with(perform, &threads, input, output, orphaned)
}

fn serve_with<W: Write>(
    mut perform: impl FnMut(&StageNode, &mut dyn Observer) -> Result<StageManifest, StageError>,
    threads: &Threads,
    input: impl BufRead + Send + 'static,
    output: &mut W,
    orphaned: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for stage in read_requests(input, Arc::clone(&stop), threads.clone(), orphaned) {
        let mut voice = EventSender {
            output: &mut *output,
            stop: &stop,
            last_progress: None,
            write_error: None,
        };
        let answer = match catch_unwind(AssertUnwindSafe(|| perform(&stage, &mut voice))) {
            Ok(Ok(manifest)) => WorkerReply::Done(manifest),
            Ok(Err(StageError::Stopped)) => WorkerReply::Stopped,
            Ok(Err(error)) => WorkerReply::Failed(error.to_string()),
            Err(panic) => {
                WorkerReply::Failed(format!("this is a bug: {}", panic_message(panic.as_ref())))
            }
        };
        if let Some(error) = voice.write_error {
            return Err(error);
        }
        send(output, &answer)?;
    }
    Ok(())
}

/// Reads orders on a thread of its own, so that a stop, another number of threads and the
/// coordinator's end are noticed while a stage is being executed.
fn read_requests(
    mut input: impl BufRead + Send + 'static,
    stop: Arc<AtomicBool>,
    threads: Threads,
    orphaned: impl FnOnce() + Send + 'static,
) -> Receiver<StageNode> {
    let (sender, stages) = channel();
    thread::spawn(move || {
        while let Some(order) = receive(&mut input) {
            match order {
                WorkerRequest::Stop => stop.store(true, Ordering::SeqCst),
                WorkerRequest::Threads(count) => threads.set_count(count),
                WorkerRequest::Stage(stage) => {
                    if sender.send(*stage).is_err() {
                        return;
                    }
                }
            }
        }
        orphaned();
    });
    stages
}

/// Hands a stage's events to the coordinator.
struct EventSender<'a, W> {
    output: &'a mut W,
    stop: &'a AtomicBool,
    last_progress: Option<Instant>,
    write_error: Option<io::Error>,
}

impl<W> EventSender<'_, W> {
    /// Whether an event is worth a line: points are read from the stage's files afterwards, and
    /// progress is told at intervals, its end always.
    fn should_send(&mut self, event: &StageEvent) -> bool {
        match event {
            StageEvent::Point(_) => false,
            StageEvent::Note(_) => true,
            StageEvent::Progress { done, total, .. } => {
                let due = self
                    .last_progress
                    .is_none_or(|told| told.elapsed() >= PROGRESS_INTERVAL);
                if due {
                    self.last_progress = Some(Instant::now());
                }
                due || done == total
            }
        }
    }
}

impl<W: Write> Observer for EventSender<'_, W> {
    fn on_event(&mut self, event: StageEvent) {
        if self.should_send(&event) && self.write_error.is_none() {
            self.write_error = send(self.output, &WorkerReply::Event(event)).err();
        }
    }

    fn stop_requested(&self) -> bool {
        self.write_error.is_some() || self.stop.load(Ordering::SeqCst)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};
    use std::sync::mpsc::Sender;

    use serde_json::json;

    use super::*;
    use crate::sweep::fixtures::stages;

    /// An input that gives what is sent to it and ends when the sender is dropped.
    struct ChannelReader(Receiver<Vec<u8>>, Vec<u8>);

    impl Read for ChannelReader {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.1.is_empty() {
                self.1 = self.0.recv().unwrap_or_default();
            }
            let count = buffer.len().min(self.1.len());
            buffer[..count].copy_from_slice(&self.1[..count]);
            self.1.drain(..count);
            Ok(count)
        }
    }

    fn order(sender: &Sender<Vec<u8>>, order: &WorkerRequest) {
        let mut line = Vec::new();
        send(&mut line, order).unwrap();
        sender.send(line).unwrap();
    }

    fn manifest(stage: &StageNode) -> StageManifest {
        StageManifest {
            key: stage.key.clone(),
            artifacts: Vec::new(),
            seconds: 1.0,
            peak_bytes: None,
            counts: json!({}),
            origin: json!({}),
        }
    }

    /// Serves stages with the given labels, one after the other, and returns the answers.
    fn answers(
        labels: &[&str],
        perform: impl FnMut(&StageNode, &mut dyn Observer) -> Result<StageManifest, StageError>,
    ) -> Vec<WorkerReply> {
        let (sender, receiver) = channel();
        for label in labels {
            order(
                &sender,
                &WorkerRequest::Stage(Box::new(stages(&[(label, "", 1.0)]).remove(0))),
            );
        }
        drop(sender);
        let mut output = Vec::new();
        let input = BufReader::new(ChannelReader(receiver, Vec::new()));
        serve_with(perform, &Threads::default(), input, &mut output, || {}).unwrap();
        let mut output = output.as_slice();
        std::iter::from_fn(|| receive(&mut output)).collect()
    }

    #[test]
    fn a_panic_is_an_answer_and_the_worker_lives_on() {
        let answers = answers(&["bad", "good"], |stage, _| {
            assert!(stage.label != "bad", "the number was {}", 3);
            Ok(manifest(stage))
        });
        assert_eq!(
            answers[0],
            WorkerReply::Failed("this is a bug: the number was 3".to_owned())
        );
        assert_eq!(
            answers[1],
            WorkerReply::Done(manifest(&stages(&[("good", "", 1.0)])[0]))
        );
    }

    #[test]
    fn progress_is_thinned_out_but_its_end_is_told() {
        let progress = |done| StageEvent::Progress {
            done,
            total: 50,
            unit: "steps".to_owned(),
            tokens: 0,
            loss: None,
        };
        let answers = answers(&["a"], |stage, observer| {
            (1..=50).for_each(|done| observer.on_event(progress(done)));
            observer.on_event(StageEvent::Note("slow disk".to_owned()));
            Ok(manifest(stage))
        });
        assert_eq!(answers.first(), Some(&WorkerReply::Event(progress(1))));
        assert_eq!(answers[answers.len() - 3], WorkerReply::Event(progress(50)));
        assert_eq!(
            answers[answers.len() - 2],
            WorkerReply::Event(StageEvent::Note("slow disk".to_owned()))
        );
        assert!(answers.len() < 20, "{answers:?}");
    }

    #[test]
    fn a_stop_reaches_a_stage_that_is_being_executed() {
        let (sender, receiver) = channel();
        order(
            &sender,
            &WorkerRequest::Stage(Box::new(stages(&[("endless", "", 1.0)]).remove(0))),
        );
        let mut sender = Some(sender);
        let mut output = Vec::new();
        let endless = |_: &StageNode, observer: &mut dyn Observer| {
            if let Some(sender) = sender.take() {
                order(&sender, &WorkerRequest::Stop);
            }
            while !observer.stop_requested() {
                thread::yield_now();
            }
            Err(StageError::Stopped)
        };
        let input = BufReader::new(ChannelReader(receiver, Vec::new()));
        serve_with(endless, &Threads::default(), input, &mut output, || {}).unwrap();
        assert_eq!(receive(&mut output.as_slice()), Some(WorkerReply::Stopped));
    }

    #[test]
    fn another_number_of_threads_reaches_a_stage_that_is_being_executed() {
        let (sender, receiver) = channel();
        order(&sender, &WorkerRequest::Threads(2));
        order(
            &sender,
            &WorkerRequest::Stage(Box::new(stages(&[("long", "", 1.0)]).remove(0))),
        );
        let mut sender = Some(sender);
        let (threads, mut seen) = (Threads::default(), Vec::new());
        let shared = threads.clone();
        let long = |stage: &StageNode, _: &mut dyn Observer| {
            seen.push(shared.count());
            if let Some(sender) = sender.take() {
                order(&sender, &WorkerRequest::Threads(3));
            }
            while shared.count() == 2 {
                thread::yield_now();
            }
            seen.push(shared.count());
            Ok(manifest(stage))
        };
        let input = BufReader::new(ChannelReader(receiver, Vec::new()));
        serve_with(long, &threads, input, &mut Vec::new(), || {}).unwrap();
        assert_eq!(seen, [2, 3]);
    }

    #[test]
    fn the_end_of_the_coordinator_is_noticed_in_the_middle_of_a_stage() {
        let (sender, receiver) = channel();
        order(
            &sender,
            &WorkerRequest::Stage(Box::new(stages(&[("endless", "", 1.0)]).remove(0))),
        );
        let (orphaned, noticed) = channel();
        let mut sender = Some(sender);
        let wait = |stage: &StageNode, _: &mut dyn Observer| {
            drop(sender.take());
            noticed
                .recv_timeout(Duration::from_secs(20))
                .expect("orphaned is called at once");
            Ok(manifest(stage))
        };
        let input = BufReader::new(ChannelReader(receiver, Vec::new()));
        let orphaned = move || orphaned.send(()).unwrap();
        serve_with(wait, &Threads::default(), input, &mut Vec::new(), orphaned).unwrap();
    }
}
