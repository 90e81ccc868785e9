//! A client as a policy: several questions at a time, an observer who is told, and a stop that is heard.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{
    Observer, Policy, PolicyError, PolicyRequest, SampledAttempt, SamplingConfig, StageEvent,
};

use super::client::ApiQuestion;
use super::{ApiClient, ApiError};

/// How often the observer is told, and asked whether to stop.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// Troubles are told at most this often; all of them are in the record.
const NOTE_INTERVAL: Duration = Duration::from_secs(30);

/// What the threads that ask tell the one that listens.
enum ApiEvent {
    /// A question was answered, or cannot be.
    Finished(usize, Result<SampledAttempt, ApiError>),
    /// A question waits.
    Waiting(String),
}

/// A client and whoever watches it work.
pub struct ApiPolicy<'a> {
    client: &'a ApiClient,
    observer: &'a mut dyn Observer,
    /// Problems done, in all, and in the part that is worked on.
    problems: [u64; 3],
    /// Answers that the part takes at most.
    max_answers: u64,
    answered: u64,
    tokens: u64,
    last_note: Option<Instant>,
}

impl<'a> ApiPolicy<'a> {
    /// A client that tells `observer` how far it is.
    ///
    /// `done` of `total` problems are done, and the next `part` of them are to take at most `most` answers.
    pub fn new(
        client: &'a ApiClient,
        observer: &'a mut dyn Observer,
        problems: [usize; 3],
        most: usize,
    ) -> Self {
        let problems = problems.map(|count| count as u64);
        Self {
            client,
            observer,
            problems,
            max_answers: most.max(1) as u64,
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
                // After the first error nothing more is asked; what is under way still comes in.
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
        let [done, total, part] = self.problems;
        // The part's end is told by whoever keeps its results.
        let within = (part * self.answered / self.max_answers).min(part.saturating_sub(1));
        self.observer.on_event(StageEvent::Progress {
            done: done + within,
            total,
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
            .flat_map(
                |PolicyRequest {
                     dialogue, seeds, ..
                 }| {
                    seeds.iter().map(move |&seed| ApiQuestion {
                        dialogue,
                        sampling,
                        seed,
                    })
                },
            )
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
        let taken = |request: &PolicyRequest| {
            answers
                .by_ref()
                .take(request.seeds.len())
                .collect::<Option<Vec<_>>>()
        };
        requests
            .iter()
            .map(taken)
            .collect::<Option<_>>()
            .ok_or(PolicyError::Stopped)
    }
}

/// Puts one question after the other until there are none left, or a stop comes.
fn run_worker(
    client: &ApiClient,
    questions: &[ApiQuestion<'_>],
    next: &AtomicUsize,
    stop: &AtomicBool,
    sender: &Sender<ApiEvent>,
) {
    let waiting = |trouble: &super::retry::RequestFailure, wait: Duration| {
        let seconds = wait.as_secs_f64();
        let note = format!(
            "`{}`: {}; trying again in {seconds:.1} s",
            client.endpoint().model,
            trouble.message
        );
        // Whoever listened is gone only when everything ends.
        let _ = sender.send(ApiEvent::Waiting(note));
    };
    while !stop.load(Ordering::SeqCst) {
        let place = next.fetch_add(1, Ordering::SeqCst);
        let Some(question) = questions.get(place) else {
            return;
        };
        let ended = client.ask(question, stop, &waiting);
        // At once, and not when it is heard: nobody is to ask a server that has refused.
        if ended.is_err() {
            stop.store(true, Ordering::SeqCst);
        }
        let _ = sender.send(ApiEvent::Finished(place, ended));
    }
}
