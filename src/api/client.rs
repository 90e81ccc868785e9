//! One question at a time: from the cache or the server, with retries, failure log and counts.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::domain::{Dialogue, Key, SampledAttempt, SamplingConfig, Seed};

use super::chat::{self, ApiAnswer};
use super::failure_log::FailureLog;
use super::rate_limiter::{RateLimiter, sleep_unless_stopped};
use super::response_cache::{CachedAnswer, ResponseCache};
use super::retry::{RequestFailure, backoff};
use super::transport::HttpTransport;
use super::{ApiError, ApiUsage, Endpoint};

/// The file of the pace, in the folder of all models' answers.
const PACE: &str = "pace";

/// A dialogue that needs one answer.
#[derive(Clone, Debug)]
pub struct ApiQuestion<'a> {
    /// The dialogue.
    pub dialogue: &'a Dialogue,
    /// How the answer is sampled.
    pub sampling: &'a SamplingConfig,
    /// The identity of the sample among all possible answers.
    pub seed: Seed,
}

/// A client of an endpoint.
#[derive(Debug)]
pub struct ApiClient {
    endpoint: Endpoint,
    transport: HttpTransport,
    cache: ResponseCache,
    served_model: OnceLock<String>,
    failures: FailureLog,
    limiter: RateLimiter,
    usage: Mutex<ApiUsage>,
    usage_path: PathBuf,
}

/// The outcome of one try.
enum ReplyOutcome {
    /// A usable answer.
    Answer(ApiAnswer),
    /// A valid reply without a usable answer; it never goes into the cache.
    Unusable(RequestFailure, ApiAnswer),
    /// No answer.
    Failure(RequestFailure),
}

impl ApiClient {
    /// Prepares an endpoint without a request. Answers go below `root`, counts into `usage`.
    ///
    /// # Errors
    /// If the key is missing, or the folders cannot be written.
    pub fn open(endpoint: &Endpoint, root: &Path, ledger: &Path) -> Result<Self, ApiError> {
        let transport = HttpTransport::new(endpoint)?;
        let answers = ResponseCache::open(root, &endpoint.host_name(), &endpoint.model)?;
        let pace = root.join(format!(
            "{PACE}-{}",
            Key::from_value(&endpoint.base_url).short()
        ));
        Ok(Self {
            transport,
            failures: FailureLog::in_folder(answers.folder()),
            cache: answers,
            served_model: OnceLock::new(),
            limiter: RateLimiter::new(pace, endpoint.requests_per_minute),
            usage: Mutex::new(ApiUsage::load(ledger)),
            usage_path: ledger.to_owned(),
            endpoint: endpoint.clone(),
        })
    }

    /// Its settings.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The usage so far.
    #[must_use]
    pub fn usage(&self) -> ApiUsage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name under which the server answers, after its first reply.
    #[must_use]
    pub fn served_model(&self) -> Option<String> {
        self.cache.served_model()
    }

    /// The folder of the answers and of the failure log.
    #[must_use]
    pub fn cache_folder(&self) -> &Path {
        self.cache.folder()
    }

    /// Writes the counts down.
    pub(super) fn save_usage(&self) -> Result<(), ApiError> {
        self.usage().save(&self.usage_path)
    }

    fn update_usage(&self, change: impl FnOnce(&mut ApiUsage)) {
        change(&mut self.usage.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn request(&self, question: &ApiQuestion<'_>, seed: Seed) -> serde_json::Value {
        // Servers take 32 bits, some of them with a sign.
        let seed = self.endpoint.send_seed.then_some((seed.0 >> 33) as u32);
        let system = self.endpoint.system.as_deref();
        chat::request_body(
            &self.endpoint.model,
            system,
            question.dialogue,
            question.sampling,
            seed,
        )
    }

    /// The answer to a question, from the cache or from the server; calls `waiting` before every wait.
    pub(super) fn ask(
        &self,
        question: &ApiQuestion<'_>,
        stop: &AtomicBool,
        waiting: &dyn Fn(&RequestFailure, Duration),
    ) -> Result<SampledAttempt, ApiError> {
        let mut request = self.request(question, question.seed);
        let key = Key::from_value(
            &json!({ "request": request, "sample": format!("{:016x}", question.seed.0) }),
        );
        if let Some(answer) = self.cache.get(&key) {
            self.update_usage(|ledger| ledger.cache_hits += 1);
            return Ok(answer.into_attempt());
        }
        let most = self.endpoint.retries + 1;
        for tries in 1..=most {
            if !self
                .limiter
                .acquire(stop)
                .map_err(ApiError::io_error("use", self.cache.folder()))?
            {
                return Err(ApiError::Stopped);
            }
            self.update_usage(|ledger| {
                ledger.calls += 1;
                ledger.retries += u64::from(tries > 1);
            });
            let (trouble, left) = match self.send(&request)? {
                ReplyOutcome::Answer(answer) => {
                    self.update_usage(|ledger| ledger.add_answer(&answer));
                    self.cache.put(
                        &key,
                        &CachedAnswer {
                            request,
                            answer: answer.clone(),
                        },
                    )?;
                    return Ok(answer.into_attempt());
                }
                ReplyOutcome::Unusable(trouble, answer) => {
                    // The server charges for it too.
                    self.update_usage(|ledger| ledger.add_answer(&answer));
                    (trouble, Some(answer))
                }
                ReplyOutcome::Failure(trouble) => (trouble, None),
            };
            self.failures.add(&key, tries, &trouble)?;
            if let Some(answer) = left.filter(|_| tries == most) {
                // An empty answer is a failed attempt, not a failed stage.
                return Ok(answer.into_unfinished_attempt());
            }
            if !trouble.is_transient {
                return Err(self.refused_error(trouble));
            }
            if tries == most {
                return Err(self.gave_up_error(tries, trouble));
            }
            if trouble.status == Some(200) {
                // With the same seed a server may repeat its reply.
                request = self.request(
                    question,
                    question
                        .seed
                        .derive("again")
                        .derive_indexed(u64::from(tries)),
                );
            }
            let wait = self.backoff_after(&trouble, backoff(tries, question.seed));
            waiting(&trouble, wait);
            if !sleep_unless_stopped(wait, stop) {
                return Err(ApiError::Stopped);
            }
        }
        unreachable!("the last try ends in an answer or an error")
    }

    /// One try.
    fn send(&self, request: &serde_json::Value) -> Result<ReplyOutcome, ApiError> {
        let body = match self.transport.send(&request.to_string()) {
            Ok(body) => body,
            Err(trouble) => return Ok(ReplyOutcome::Failure(trouble)),
        };
        let answer = match chat::parse_reply(&body) {
            Ok(answer) => answer,
            Err(cause) => return Ok(ReplyOutcome::Failure(invalid_reply(&body, cause))),
        };
        if let Some(name) = &answer.model {
            let before = self.first_served_model(name)?;
            if before != name {
                let cause = format!(
                    "the model that answers is `{name}` and was `{before}` before (if that is meant, name the one you \
                     want as `model`, or remove the folder {})",
                    self.cache.folder().display()
                );
                return Ok(ReplyOutcome::Failure(invalid_reply(&body, cause)));
            }
        }
        Ok(match answer.unusable_reason() {
            Some(cause) => ReplyOutcome::Unusable(invalid_reply(&body, cause.to_owned()), answer),
            None => ReplyOutcome::Answer(answer),
        })
    }

    /// The name under which the server answered first, here or in another process.
    fn first_served_model(&self, name: &str) -> Result<&str, ApiError> {
        if let Some(before) = self.served_model.get() {
            return Ok(before);
        }
        let before = self.cache.record_served_model(name)?;
        Ok(self.served_model.get_or_init(|| before))
    }

    /// How long to wait, and makes everybody wait where the server said how long.
    fn backoff_after(&self, trouble: &RequestFailure, own: Duration) -> Duration {
        match trouble.retry_after {
            // Our own pause on top keeps all who wait from coming back at once.
            Some(wish) => {
                self.limiter.block_for(wish);
                wish + own
            }
            None => own,
        }
    }

    fn refused_error(&self, trouble: RequestFailure) -> ApiError {
        let (model, url) = (self.endpoint.model.clone(), self.transport.url().to_owned());
        ApiError::Refused {
            model,
            url,
            said: trouble.message,
        }
    }

    fn gave_up_error(&self, tries: u32, trouble: RequestFailure) -> ApiError {
        let (model, url) = (self.endpoint.model.clone(), self.transport.url().to_owned());
        ApiError::GaveUp {
            model,
            url,
            tries,
            said: trouble.message,
            record: self.failures.path().to_owned(),
        }
    }
}

/// The failure of a reply with status 200.
fn invalid_reply(body: &str, cause: String) -> RequestFailure {
    RequestFailure {
        status: Some(200),
        body: body.to_owned(),
        ..RequestFailure::transient(cause)
    }
}
