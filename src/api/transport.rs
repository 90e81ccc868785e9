//! One HTTP request and its reply; the only file that knows the HTTP client.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use super::address::ApiAddress;
use super::chat::error_message;
use super::retry::{MAX_RETRY_AFTER, RequestFailure, is_transient_status, parse_retry_after};
use super::secret::Secret;
use super::{ApiError, Endpoint};

/// A longer reply is not read.
const MAX_REPLY_BYTES: u64 = 16 << 20;
/// As much of a complaint is shown.
const MAX_MESSAGE_CHARS: usize = 300;

/// The way to one server.
#[derive(Debug)]
pub struct HttpTransport {
    agent: Agent,
    url: String,
    secret: Option<Secret>,
    key_variable: Option<String>,
}

impl HttpTransport {
    /// The way to the server of an endpoint.
    ///
    /// # Errors
    /// If the key is not there, or the program cannot encrypt where it has to.
    pub fn new(endpoint: &Endpoint) -> Result<Self, ApiError> {
        endpoint.check_ready().map_err(ApiError::InvalidSettings)?;
        let address = ApiAddress::parse(&endpoint.base_url).map_err(ApiError::InvalidSettings)?;
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(endpoint.timeout)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(endpoint.concurrency)
            .user_agent(concat!("rise-lab/", env!("CARGO_PKG_VERSION")));
        // For a proxy, localhost is another machine.
        let config = if address.is_loopback() {
            config.proxy(None)
        } else {
            config
        };
        // The system's certificates include those of the user's own institution.
        #[cfg(feature = "https")]
        let config = config.tls_config(
            ureq::tls::TlsConfig::builder()
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        );
        Ok(Self {
            agent: Agent::new_with_config(config.build()),
            url: address.chat_url,
            secret: endpoint.secret().map_err(ApiError::InvalidSettings)?,
            key_variable: endpoint.key_variable().map(str::to_owned),
        })
    }

    /// Where requests go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request; the body of a reply with status 200.
    ///
    /// # Errors
    /// If there is no such reply.
    pub fn send(&self, body: &str) -> Result<String, RequestFailure> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json");
        if let Some(secret) = &self.secret {
            request = request.header("Authorization", secret.bearer_header());
        }
        let mut reply = request
            .send(body)
            .map_err(|error| connection_failure(&error))?;
        let status = reply.status().as_u16();
        let wait = retry_after_header(&reply);
        let read = reply
            .body_mut()
            .with_config()
            .limit(MAX_REPLY_BYTES)
            .read_to_vec();
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if status == 200 => {
                return Err(RequestFailure {
                    status: Some(200),
                    ..connection_failure(&error)
                });
            }
            // The status says enough.
            Err(_) => Vec::new(),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let text = match &self.secret {
            Some(secret) => secret.redact(text),
            None => text,
        };
        if status == 200 {
            Ok(text)
        } else {
            Err(self.status_failure(status, wait, text))
        }
    }

    /// The failure of a reply with another status.
    fn status_failure(&self, status: u16, wait: Option<Duration>, body: String) -> RequestFailure {
        let reply: Value = serde_json::from_str(&body).unwrap_or_default();
        let complaint = error_message(&reply).unwrap_or_else(|| body.trim().to_owned());
        let complaint: String = complaint.chars().take(MAX_MESSAGE_CHARS).collect();
        let told = if complaint.is_empty() {
            String::new()
        } else {
            format!(": {complaint}")
        };
        let spent = reply["error"]["code"] == "insufficient_quota";
        let late = wait.filter(|wait| *wait > MAX_RETRY_AFTER);
        let advice = match status {
            _ if spent => "; there is no credit left".to_owned(),
            _ if late.is_some() => format!(
                "; it wants us to wait for {} minutes, so try again then",
                late.unwrap_or_default().as_secs().div_ceil(60)
            ),
            401 | 403 => match &self.key_variable {
                Some(name) => format!("; look at the key in the environment variable `{name}`"),
                None => {
                    "; name the environment variable that holds its key in `key_env`".to_owned()
                }
            },
            404 => "; look at `base_url` and `model`".to_owned(),
            _ => String::new(),
        };
        RequestFailure {
            message: format!("the server answered with status {status}{told}{advice}"),
            status: Some(status),
            is_transient: is_transient_status(status) && !spent && late.is_none(),
            retry_after: wait,
            body,
        }
    }
}

fn retry_after_header<B>(reply: &Response<B>) -> Option<Duration> {
    parse_retry_after(
        reply.headers().get("retry-after")?.to_str().ok()?,
        SystemTime::now(),
    )
}

/// The failure of a reply that is missing or cut.
fn connection_failure(error: &ureq::Error) -> RequestFailure {
    use ureq::Error;
    match error {
        Error::Timeout(_) => RequestFailure::transient("no answer came in time"),
        Error::HostNotFound => RequestFailure::transient("there is no such host"),
        Error::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            RequestFailure::transient("the connection was closed before the reply was whole")
        }
        Error::Io(source) if source.kind() == std::io::ErrorKind::ConnectionRefused => {
            RequestFailure::transient("nobody listens there (connection refused)")
        }
        Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            RequestFailure::permanent(format!("the connection cannot be trusted ({source})"))
        }
        Error::Io(_) | Error::ConnectionFailed | Error::Protocol(_) => {
            RequestFailure::transient(format!("the connection failed ({error})"))
        }
        other => RequestFailure::permanent(format!("the request could not be made ({other})")),
    }
}
