//! A client as a policy: several questions at a time, an observer who is told, and a stop that is heard.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{Attempt, Event, Observer, Policy, PolicyError, Request, Sampling};

use super::client::Question;
use super::{Client, RemoteError};

/// How often the observer is told, and asked whether to stop.
const TELL: Duration = Duration::from_millis(200);
/// Troubles are told at most this often; all of them are in the record.
const NOTES: Duration = Duration::from_secs(30);

/// What the threads that ask tell the one that listens.
enum News {
    /// A question was answered, or cannot be.
    Ended(usize, Result<Attempt, RemoteError>),
    /// A question waits.
    Waits(String),
}

/// A client and whoever watches it work.
pub struct Listening<'a> {
    client: &'a Client,
    observer: &'a mut dyn Observer,
    /// Problems done, in all, and in the part that is worked on.
    problems: [u64; 3],
    /// Answers that the part takes at most.
    most: u64,
    answered: u64,
    tokens: u64,
    noted: Option<Instant>,
}

impl<'a> Listening<'a> {
    /// A client that tells `observer` how far it is.
    ///
    /// `done` of `total` problems are done, and the next `part` of them are to take at most `most` answers.
    pub fn new(
        client: &'a Client,
        observer: &'a mut dyn Observer,
        problems: [usize; 3],
        most: usize,
    ) -> Self {
        let problems = problems.map(|count| count as u64);
        Self {
            client,
            observer,
            problems,
            most: most.max(1) as u64,
            answered: 0,
            tokens: 0,
            noted: None,
        }
    }

    /// The same, with tokens that were sampled before.
    #[must_use]
    pub fn after(self, tokens: u64) -> Self {
        Self { tokens, ..self }
    }

    fn listen(
        &mut self,
        heard: &Receiver<News>,
        stop: &AtomicBool,
        answers: &mut [Option<Attempt>],
    ) -> Result<(), RemoteError> {
        let (mut ended, mut told) = (Ok(()), Instant::now());
        loop {
            match heard.recv_timeout(TELL) {
                Ok(News::Ended(place, Ok(attempt))) => {
                    self.answered += 1;
                    self.tokens += u64::from(attempt.tokens);
                    answers[place] = Some(attempt);
                }
                // After the first error nothing more is asked; what is under way still comes in.
                Ok(News::Ended(_, Err(error))) => {
                    stop.store(true, Ordering::SeqCst);
                    let first = matches!(ended, Ok(()) | Err(RemoteError::Stopped));
                    ended = if first { Err(error) } else { ended };
                }
                Ok(News::Waits(note)) => self.note(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                self.tell();
                let saved = self.client.save();
                if self.observer.stop_requested() || saved.is_err() {
                    stop.store(true, Ordering::SeqCst);
                }
                ended = ended.and(saved);
            }
        }
        ended.and(self.client.save())
    }

    fn tell(&mut self) {
        let [done, total, part] = self.problems;
        // The part's end is told by whoever keeps its results.
        let within = (part * self.answered / self.most).min(part.saturating_sub(1));
        self.observer.on(Event::Progress {
            done: done + within,
            total,
            unit: "problems".to_owned(),
            tokens: self.tokens,
            loss: None,
        });
    }

    fn note(&mut self, note: String) {
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTES) {
            self.noted = Some(Instant::now());
            self.observer.on(Event::Note(note));
        }
    }
}

impl Policy for Listening<'_> {
    fn respond(
        &mut self,
        requests: &[Request],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Attempt>>, PolicyError> {
        if requests.iter().any(|request| !request.prefix.is_empty()) {
            let complaint = "a model behind an API cannot go on from the beginning of an answer";
            return Err(PolicyError::Other(complaint.to_owned()));
        }
        let questions: Vec<Question<'_>> = requests
            .iter()
            .flat_map(
                |Request {
                     dialogue, seeds, ..
                 }| {
                    seeds.iter().map(move |&seed| Question {
                        dialogue,
                        sampling,
                        seed,
                    })
                },
            )
            .collect();
        let mut answers: Vec<Option<Attempt>> = vec![None; questions.len()];
        let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (sender, heard) = channel();
        let client = self.client;
        let ended = thread::scope(|scope| {
            for _ in 0..client.endpoint().concurrency.min(questions.len()) {
                let (sender, questions, next, stop) = (sender.clone(), &questions, &next, &stop);
                scope.spawn(move || work(client, questions, next, stop, &sender));
            }
            drop(sender);
            self.listen(&heard, &stop, &mut answers)
        });
        ended?;
        let mut answers = answers.into_iter();
        let taken = |request: &Request| {
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
fn work(
    client: &Client,
    questions: &[Question<'_>],
    next: &AtomicUsize,
    stop: &AtomicBool,
    sender: &Sender<News>,
) {
    let waiting = |trouble: &super::retry::Trouble, wait: Duration| {
        let seconds = wait.as_secs_f64();
        let note = format!(
            "`{}`: {}; trying again in {seconds:.1} s",
            client.endpoint().model,
            trouble.said
        );
        // Whoever listened is gone only when everything ends.
        let _ = sender.send(News::Waits(note));
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
        let _ = sender.send(News::Ended(place, ended));
    }
}
