//! A client as a policy: concurrent questions, events for an observer, and stops.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{
    Observer, Policy, PolicyError, PolicyRequest, SampledAttempt, SamplingConfig, StageEvent,
};

use super::client::ApiQuestion;
use super::{ApiClient, ApiError};

/// The interval of progress events and of checks for a stop.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// The shortest interval between notes about failures; the failure log has all of them.
const NOTE_INTERVAL: Duration = Duration::from_secs(30);

/// A message of a worker thread.
enum ApiEvent {
    /// The result of a question.
    Finished(usize, Result<SampledAttempt, ApiError>),
    /// A question waits.
    Waiting(String),
}

/// Problems of a stage that are done, that there are, and that the next requests are about.
#[derive(Clone, Copy, Debug)]
pub struct ChunkProgress {
    /// Problems done.
    pub done: usize,
    /// All problems.
    pub total: usize,
    /// Problems of the current chunk.
    pub chunk: usize,
}

/// A client with an observer of its work.
pub struct ApiPolicy<'a> {
    client: &'a ApiClient,
    observer: &'a mut dyn Observer,
    progress: ChunkProgress,
    /// Upper bound on the answers of the chunk.
    max_answers: u64,
    answered: u64,
    tokens: u64,
    last_note: Option<Instant>,
}

impl<'a> ApiPolicy<'a> {
    /// A client that reports its progress to `observer`; the chunk takes at most `max_answers` answers.
    pub fn new(
        client: &'a ApiClient,
        observer: &'a mut dyn Observer,
        progress: ChunkProgress,
        max_answers: usize,
    ) -> Self {
        Self {
            client,
            observer,
            progress,
            max_answers: max_answers.max(1) as u64,
            answered: 0,
            tokens: 0,
            last_note: None,
        }
    }

    /// The same, with tokens that were sampled before.
    #[must_use]
    pub fn with_earlier_tokens(self, tokens: u64) -> Self {
        Self { tokens, ..self }
    }

    fn receive_events(
        &mut self,
        heard: &Receiver<ApiEvent>,
        stop: &AtomicBool,
        answers: &mut [Option<SampledAttempt>],
    ) -> Result<(), ApiError> {
        let (mut ended, mut told) = (Ok(()), Instant::now());
        loop {
            match heard.recv_timeout(PROGRESS_INTERVAL) {
                Ok(ApiEvent::Finished(place, Ok(attempt))) => {
                    self.answered += 1;
                    self.tokens += u64::from(attempt.tokens);
                    answers[place] = Some(attempt);
                }
                // The first error stops the workers; answers in flight still arrive.
                Ok(ApiEvent::Finished(_, Err(error))) => {
                    stop.store(true, Ordering::SeqCst);
                    let first = matches!(ended, Ok(()) | Err(ApiError::Stopped));
                    ended = if first { Err(error) } else { ended };
                }
                Ok(ApiEvent::Waiting(note)) => self.report_note(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if told.elapsed() >= PROGRESS_INTERVAL {
                told = Instant::now();
                self.report_progress();
                let saved = self.client.save_usage();
                if self.observer.stop_requested() || saved.is_err() {
                    stop.store(true, Ordering::SeqCst);
                }
                ended = ended.and(saved);
            }
        }
        ended.and(self.client.save_usage())
    }

    fn report_progress(&mut self) {
        let chunk = self.progress.chunk as u64;
        // The stage reports the end of the chunk, once its results are on disk.
        let within = (chunk * self.answered / self.max_answers).min(chunk.saturating_sub(1));
        self.observer.on_event(StageEvent::Progress {
            done: self.progress.done as u64 + within,
            total: self.progress.total as u64,
            unit: "problems".to_owned(),
            tokens: self.tokens,
            loss: None,
        });
    }

    fn report_note(&mut self, note: String) {
        if self
            .last_note
            .is_none_or(|noted| noted.elapsed() >= NOTE_INTERVAL)
        {
            self.last_note = Some(Instant::now());
            self.observer.on_event(StageEvent::Note(note));
        }
    }
}

impl Policy for ApiPolicy<'_> {
    fn respond(
        &mut self,
        requests: &[PolicyRequest],
        sampling: &SamplingConfig,
    ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
        if requests.iter().any(|request| !request.prefix.is_empty()) {
            let complaint = "a model behind an API cannot go on from the beginning of an answer";
            return Err(PolicyError::Other(complaint.to_owned()));
        }
        let questions: Vec<ApiQuestion<'_>> = requests
            .iter()
            .flat_map(|request| {
                request.seeds.iter().map(move |&seed| ApiQuestion {
                    dialogue: &request.dialogue,
                    sampling,
                    seed,
                })
            })
            .collect();
        let mut answers: Vec<Option<SampledAttempt>> = vec![None; questions.len()];
        let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (sender, heard) = channel();
        let client = self.client;
        let ended = thread::scope(|scope| {
            for _ in 0..client.endpoint().concurrency.min(questions.len()) {
                let (sender, questions, next, stop) = (sender.clone(), &questions, &next, &stop);
                scope.spawn(move || run_worker(client, questions, next, stop, &sender));
            }
            drop(sender);
            self.receive_events(&heard, &stop, &mut answers)
        });
        ended?;
        let mut answers = answers.into_iter();
        requests
            .iter()
            .map(|request| {
                let answers = answers.by_ref().take(request.seeds.len());
                answers.collect::<Option<Vec<_>>>()
            })
            .collect::<Option<_>>()
            .ok_or(PolicyError::Stopped)
    }
}

/// Asks one question after the other, until the last one or until a stop request.
fn run_worker(
    client: &ApiClient,
    questions: &[ApiQuestion<'_>],
    next: &AtomicUsize,
    stop: &AtomicBool,
    sender: &Sender<ApiEvent>,
) {
    while !stop.load(Ordering::SeqCst) {
        let index = next.fetch_add(1, Ordering::SeqCst);
        let Some(question) = questions.get(index) else {
            return;
        };
        let result = client.ask(question, stop, &|failure, wait| {
            let note = format!(
                "`{}`: {}; trying again in {:.1} s",
                client.endpoint().model,
                failure.message,
                wait.as_secs_f64()
            );
            // The receiver is gone only at the end of everything.
            let _ = sender.send(ApiEvent::Waiting(note));
        });
        // Before the receiver reads the result, so no worker asks a server that has refused.
        if result.is_err() {
            stop.store(true, Ordering::SeqCst);
        }
        let _ = sender.send(ApiEvent::Finished(index, result));
    }
}
