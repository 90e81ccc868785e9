//! The loop of a worker process: receive a request, execute the stage, reply.

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

/// Shortest time between two progress events; a terminal shows no more.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Serves requests from `input` until it ends; replies on `output`.
///
/// Another thread calls `orphaned` as soon as `input` ends, even in the middle of a stage: the
/// coordinator is gone then, and this worker would race with that of the next sweep.
///
/// # Errors
/// If `output` is closed.
pub fn serve(
    workspace: &Workspace,
    input: impl BufRead + Send + 'static,
    output: &mut impl Write,
    orphaned: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // One number for the whole process: stages read it, the reader of requests changes it.
    let threads = Threads::default();
    serve_with(
        |stage, observer| execute_stage(stage, workspace, &threads, observer),
        &threads,
        input,
        output,
        orphaned,
    )
}

fn serve_with<W: Write>(
    mut execute: impl FnMut(&StageNode, &mut dyn Observer) -> Result<StageManifest, StageError>,
    threads: &Threads,
    input: impl BufRead + Send + 'static,
    output: &mut W,
    orphaned: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for stage in read_requests(input, Arc::clone(&stop), threads.clone(), orphaned) {
        let mut events = EventSender {
            output: &mut *output,
            stop: &stop,
            last_progress: None,
            write_error: None,
        };
        let reply = match catch_unwind(AssertUnwindSafe(|| execute(&stage, &mut events))) {
            Ok(Ok(manifest)) => WorkerReply::Done(manifest),
            Ok(Err(StageError::Stopped)) => WorkerReply::Stopped,
            Ok(Err(error)) => WorkerReply::Failed(error.to_string()),
            Err(panic) => {
                WorkerReply::Failed(format!("this is a bug: {}", panic_message(panic.as_ref())))
            }
        };
        if let Some(error) = events.write_error {
            return Err(error);
        }
        send(output, &reply)?;
    }
    Ok(())
}

/// Reads requests on another thread, so that a stop, another number of threads and the end of the
/// coordinator have an effect in the middle of a stage.
fn read_requests(
    mut input: impl BufRead + Send + 'static,
    stop: Arc<AtomicBool>,
    threads: Threads,
    orphaned: impl FnOnce() + Send + 'static,
) -> Receiver<StageNode> {
    let (sender, stages) = channel();
    thread::spawn(move || {
        while let Some(request) = receive(&mut input) {
            match request {
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

/// Sends a stage's events to the coordinator.
struct EventSender<'a, W> {
    output: &'a mut W,
    stop: &'a AtomicBool,
    last_progress: Option<Instant>,
    write_error: Option<io::Error>,
}

impl<W> EventSender<'_, W> {
    /// Whether to send an event: notes always, progress at intervals and at its end, points never,
    /// since the stage's files hold them.
    fn should_send(&mut self, event: &StageEvent) -> bool {
        match event {
            StageEvent::Point(_) => false,
            StageEvent::Note(_) => true,
            StageEvent::Progress { done, total, .. } => {
                let due = self
                    .last_progress
                    .is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
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

    use super::*;
    use crate::sweep::fixtures::{manifest, stages};

    /// An input that yields the sent bytes and ends when the sender is dropped.
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

    fn request(sender: &Sender<Vec<u8>>, request: &WorkerRequest) {
        let mut line = Vec::new();
        send(&mut line, request).unwrap();
        sender.send(line).unwrap();
    }

    fn request_stage(sender: &Sender<Vec<u8>>, label: &str) {
        let stage = stages(&[(label, "", 1.0)]).remove(0);
        request(sender, &WorkerRequest::Stage(Box::new(stage)));
    }

    /// Serves `execute` until `requests` end; returns the replies.
    fn serve_all(
        execute: impl FnMut(&StageNode, &mut dyn Observer) -> Result<StageManifest, StageError>,
        threads: &Threads,
        requests: Receiver<Vec<u8>>,
        orphaned: impl FnOnce() + Send + 'static,
    ) -> Vec<WorkerReply> {
        let mut output = Vec::new();
        let input = BufReader::new(ChannelReader(requests, Vec::new()));
        serve_with(execute, threads, input, &mut output, orphaned).unwrap();
        let mut output = output.as_slice();
        std::iter::from_fn(|| receive(&mut output)).collect()
    }

    /// Serves stages with the given labels, one after the other, and returns the answers.
    fn answers(
        labels: &[&str],
        execute: impl FnMut(&StageNode, &mut dyn Observer) -> Result<StageManifest, StageError>,
    ) -> Vec<WorkerReply> {
        let (sender, requests) = channel();
        for label in labels {
            request_stage(&sender, label);
        }
        drop(sender);
        serve_all(execute, &Threads::default(), requests, || {})
    }

    #[test]
    fn a_panic_is_an_answer_and_the_worker_lives_on() {
        let answers = answers(&["bad", "good"], |stage, _| {
            assert!(stage.label != "bad", "the number was {}", 3);
            Ok(manifest(&stage.key, 1.0))
        });
        assert_eq!(
            answers[0],
            WorkerReply::Failed("this is a bug: the number was 3".to_owned())
        );
        assert_eq!(
            answers[1],
            WorkerReply::Done(manifest(&stages(&[("good", "", 1.0)])[0].key, 1.0))
        );
    }

    fn progress(done: u64) -> StageEvent {
        StageEvent::Progress {
            done,
            total: 50,
            unit: "steps".to_owned(),
            tokens: 0,
            loss: None,
        }
    }

    #[test]
    fn progress_is_thinned_out_but_its_end_is_told() {
        let answers = answers(&["a"], |stage, observer| {
            (1..=50).for_each(|done| observer.on_event(progress(done)));
            observer.on_event(StageEvent::Note("slow disk".to_owned()));
            Ok(manifest(&stage.key, 1.0))
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
        request_stage(&sender, "endless");
        let mut sender = Some(sender);
        let replies = serve_all(
            |_, observer| {
                if let Some(sender) = sender.take() {
                    request(&sender, &WorkerRequest::Stop);
                }
                while !observer.stop_requested() {
                    thread::yield_now();
                }
                Err(StageError::Stopped)
            },
            &Threads::default(),
            receiver,
            || {},
        );
        assert_eq!(replies.first(), Some(&WorkerReply::Stopped));
    }

    #[test]
    fn another_number_of_threads_reaches_a_stage_that_is_being_executed() {
        let (sender, receiver) = channel();
        request(&sender, &WorkerRequest::Threads(2));
        request_stage(&sender, "long");
        let mut sender = Some(sender);
        let (threads, mut seen) = (Threads::default(), Vec::new());
        let shared = threads.clone();
        serve_all(
            |stage, _| {
                seen.push(shared.count());
                if let Some(sender) = sender.take() {
                    request(&sender, &WorkerRequest::Threads(3));
                }
                while shared.count() == 2 {
                    thread::yield_now();
                }
                seen.push(shared.count());
                Ok(manifest(&stage.key, 1.0))
            },
            &threads,
            receiver,
            || {},
        );
        assert_eq!(seen, [2, 3]);
    }

    #[test]
    fn the_end_of_the_coordinator_is_noticed_in_the_middle_of_a_stage() {
        let (sender, receiver) = channel();
        request_stage(&sender, "endless");
        let (orphaned, noticed) = channel();
        let mut sender = Some(sender);
        serve_all(
            |stage, _| {
                drop(sender.take());
                noticed
                    .recv_timeout(Duration::from_secs(20))
                    .expect("orphaned is called at once");
                Ok(manifest(&stage.key, 1.0))
            },
            &Threads::default(),
            receiver,
            move || orphaned.send(()).unwrap(),
        );
    }
}
