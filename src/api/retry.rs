//! Retries: exponential back-off with full jitter (Brooker 2015), or the time that the server names.

use std::time::{Duration, SystemTime};

use crate::domain::Seed;

/// The longest wait before the second try; it doubles from try to try.
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// No wait of ours is longer.
const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// The longest wait on a server's request; a longer one means a quota that waiting does not restore.
pub const MAX_RETRY_AFTER: Duration = Duration::from_mins(15);

/// Something that was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFailure {
    /// The cause, as the end of a sentence.
    pub message: String,
    /// The status of the reply, if there was one.
    pub status: Option<u16>,
    /// Whether it may pass.
    pub is_transient: bool,
    /// How long the server wants us to wait.
    pub retry_after: Option<Duration>,
    /// The reply of the server, for the failure log.
    pub body: String,
}

impl RequestFailure {
    /// A fault that may pass.
    pub fn transient(said: impl Into<String>) -> Self {
        Self {
            message: said.into(),
            status: None,
            is_transient: true,
            retry_after: None,
            body: String::new(),
        }
    }

    /// A fault that stays.
    pub fn permanent(said: impl Into<String>) -> Self {
        Self {
            is_transient: false,
            ..Self::transient(said)
        }
    }
}

/// Whether a status may be another one the next time.
pub const fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 409 | 429 | 500..=599)
}

/// How long to wait after the `tries`-th try (from 1), where the server does not say: uniform between
/// nothing and a limit that doubles. The seed keeps questions that failed together from coming back
/// together.
pub fn backoff(tries: u32, seed: Seed) -> Duration {
    let limit = INITIAL_BACKOFF
        .saturating_mul(1 << (tries - 1).min(20))
        .min(MAX_BACKOFF);
    limit.mul_f64(seed.derive("pause").uniform_at(u64::from(tries)))
}

/// The server's wish in a `Retry-After` header: seconds, or a date.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_fill_a_range_that_doubles_up_to_a_limit() {
        for (tries, limit) in [(1, 0.5), (2, 1.0), (5, 8.0), (8, 60.0), (40, 60.0)] {
            let pauses: Vec<f64> = (0..2_000)
                .map(|seed| backoff(tries, Seed(seed)).as_secs_f64())
                .collect();
            let mean = pauses.iter().sum::<f64>() / 2_000.0;
            assert!(
                pauses.iter().all(|pause| (0.0..limit).contains(pause)),
                "{tries}"
            );
            assert!((mean / limit - 0.5).abs() < 0.03, "{tries}: {mean}");
        }
    }

    #[test]
    fn a_servers_wish_is_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wish = |value| parse_retry_after(value, now).map(|wait| wait.as_secs_f64());
        assert_eq!(wish("3"), Some(3.0));
        assert_eq!(wish(" 0.25 "), Some(0.25));
        assert_eq!(wish("Sun, 06 Nov 1994 08:50:00 GMT"), Some(23.0));
        assert_eq!(wish("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0.0));
        assert_eq!((wish("soon"), wish("-1")), (None, None));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(
            [408, 409, 429, 500, 502, 503, 529]
                .into_iter()
                .all(is_transient_status)
        );
        assert!(
            ![301, 400, 401, 403, 404, 422]
                .into_iter()
                .any(is_transient_status)
        );
    }
}
