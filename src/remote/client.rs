//! One question at a time: from the cache, or asked until there is an answer.
//!
//! Responsible for what a question's identity is, for trying again, for the record, and for counting. Must
//! not know how many questions are put at a time.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::domain::{Attempt, Dialogue, Key, Sampling, Seed};

use super::answers::{Answers, Entry};
use super::chat::{self, Answer};
use super::pace::{Pace, rest};
use super::retry::{Trouble, pause};
use super::transport::Transport;
use super::troubles::Troubles;
use super::{Endpoint, Ledger, RemoteError};

/// The file of the pace, in the folder of all models' answers.
const PACE: &str = "pace";

/// A dialogue that is to be answered once.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What is shown.
    pub dialogue: &'a Dialogue,
    /// How the answer is drawn.
    pub sampling: &'a Sampling,
    /// Which of all possible answers is meant: the identity of the sample.
    pub seed: Seed,
}

/// An endpoint that can be asked.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    transport: Transport,
    answers: Answers,
    served: OnceLock<String>,
    troubles: Troubles,
    pace: Pace,
    ledger: Mutex<Ledger>,
    saved: PathBuf,
}

/// What came of one try.
enum Heard {
    /// An answer that may be kept.
    Answer(Answer),
    /// A reply as it should be, in which the model says nothing; it is never kept as an answer.
    Nothing(Trouble, Answer),
    /// No answer.
    Trouble(Trouble),
}

impl Client {
    /// Makes an endpoint ready, without asking it. Answers are kept below `root`, counts in `ledger`.
    ///
    /// # Errors
    /// If the key is missing, or the folders cannot be written.
    pub fn open(endpoint: &Endpoint, root: &Path, ledger: &Path) -> Result<Self, RemoteError> {
        let transport = Transport::new(endpoint)?;
        let answers = Answers::open(root, &endpoint.place(), &endpoint.model)?;
        let pace = root.join(format!("{PACE}-{}", Key::of(&endpoint.base_url).short()));
        Ok(Self {
            transport,
            troubles: Troubles::in_folder(answers.folder()),
            answers,
            served: OnceLock::new(),
            pace: Pace::new(pace, endpoint.requests_per_minute),
            ledger: Mutex::new(Ledger::load(ledger)),
            saved: ledger.to_owned(),
            endpoint: endpoint.clone(),
        })
    }

    /// Its settings.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What asking came to so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name under which the server answers, once it did.
    #[must_use]
    pub fn served(&self) -> Option<String> {
        self.answers.known()
    }

    /// The folder of the answers and of the record of what was none.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.answers.folder()
    }

    /// Writes the counts down.
    pub(super) fn save(&self) -> Result<(), RemoteError> {
        self.ledger().save(&self.saved)
    }

    fn count(&self, change: impl FnOnce(&mut Ledger)) {
        change(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn request(&self, question: &Question<'_>, seed: Seed) -> serde_json::Value {
        // Servers take 32 bits, some of them with a sign.
        let seed = self.endpoint.send_seed.then_some((seed.0 >> 33) as u32);
        let system = self.endpoint.system.as_deref();
        chat::request(
            &self.endpoint.model,
            system,
            question.dialogue,
            question.sampling,
            seed,
        )
    }

    /// The answer to a question: from the cache, or from the server. `waiting` is told of every wait.
    pub(super) fn ask(
        &self,
        question: &Question<'_>,
        stop: &AtomicBool,
        waiting: &dyn Fn(&Trouble, Duration),
    ) -> Result<Attempt, RemoteError> {
        let mut request = self.request(question, question.seed);
        let key =
            Key::of(&json!({ "request": request, "sample": format!("{:016x}", question.seed.0) }));
        if let Some(answer) = self.answers.get(&key) {
            self.count(|ledger| ledger.cached += 1);
            return Ok(answer.attempt());
        }
        let most = self.endpoint.retries + 1;
        for tries in 1..=most {
            if !self
                .pace
                .wait(stop)
                .map_err(RemoteError::disk("use", self.answers.folder()))?
            {
                return Err(RemoteError::Stopped);
            }
            self.count(|ledger| {
                ledger.calls += 1;
                ledger.retries += u64::from(tries > 1);
            });
            let (trouble, left) = match self.put(&request)? {
                Heard::Answer(answer) => {
                    self.count(|ledger| ledger.answered(&answer));
                    self.answers.put(
                        &key,
                        &Entry {
                            request,
                            answer: answer.clone(),
                        },
                    )?;
                    return Ok(answer.attempt());
                }
                Heard::Nothing(trouble, answer) => {
                    // It is paid for all the same.
                    self.count(|ledger| ledger.answered(&answer));
                    (trouble, Some(answer))
                }
                Heard::Trouble(trouble) => (trouble, None),
            };
            self.troubles.add(&key, tries, &trouble)?;
            if let Some(answer) = left.filter(|_| tries == most) {
                // A model that says nothing fails as an attempt, not as a stage.
                return Ok(answer.unfinished());
            }
            if !trouble.passes {
                return Err(self.refused(trouble));
            }
            if tries == most {
                return Err(self.gave_up(tries, trouble));
            }
            if trouble.status == Some(200) {
                // With the same seed a server may say the same again.
                request = self.request(question, question.seed.named("again").at(u64::from(tries)));
            }
            let wait = self.hold(&trouble, pause(tries, question.seed));
            waiting(&trouble, wait);
            if !rest(wait, stop) {
                return Err(RemoteError::Stopped);
            }
        }
        unreachable!("the last try ends in an answer or an error")
    }

    /// One try.
    fn put(&self, request: &serde_json::Value) -> Result<Heard, RemoteError> {
        let body = match self.transport.send(&request.to_string()) {
            Ok(body) => body,
            Err(trouble) => return Ok(Heard::Trouble(trouble)),
        };
        let odd = |said: String| Trouble {
            status: Some(200),
            body: body.clone(),
            ..Trouble::passing(said)
        };
        let answer = match chat::answer(&body) {
            Ok(answer) => answer,
            Err(said) => return Ok(Heard::Trouble(odd(said))),
        };
        if let Some(name) = &answer.model {
            let before = self.name(name)?;
            if before != name {
                return Ok(Heard::Trouble(odd(format!(
                    "the model that answers is `{name}` and was `{before}` before (if that is meant, name the one you \
                     want as `model`, or remove the folder {})",
                    self.answers.folder().display()
                ))));
            }
        }
        Ok(match answer.complaint() {
            Some(said) => Heard::Nothing(odd(said.to_owned()), answer),
            None => Heard::Answer(answer),
        })
    }

    /// The name under which the server answered first, here or in another process.
    fn name(&self, name: &str) -> Result<&str, RemoteError> {
        if let Some(before) = self.served.get() {
            return Ok(before);
        }
        let before = self.answers.served(name)?;
        Ok(self.served.get_or_init(|| before))
    }

    /// How long to wait, and makes everybody wait where the server said how long.
    fn hold(&self, trouble: &Trouble, own: Duration) -> Duration {
        match trouble.wait {
            // Our own pause on top keeps all who wait from coming back at once.
            Some(wish) => {
                self.pace.hold(wish);
                wish + own
            }
            None => own,
        }
    }

    fn refused(&self, trouble: Trouble) -> RemoteError {
        let (model, url) = (self.endpoint.model.clone(), self.transport.url().to_owned());
        RemoteError::Refused {
            model,
            url,
            said: trouble.said,
        }
    }

    fn gave_up(&self, tries: u32, trouble: Trouble) -> RemoteError {
        let (model, url) = (self.endpoint.model.clone(), self.transport.url().to_owned());
        RemoteError::GaveUp {
            model,
            url,
            tries,
            said: trouble.said,
            record: self.troubles.path().to_owned(),
        }
    }
}
