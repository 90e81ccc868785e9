//! Models behind an API: a [`Policy`](crate::domain::Policy) that asks a server for its attempts.
//!
//! An [`Endpoint`] comes from the experiment file. An [`ApiClient`] asks it one question at a time:
//! `chat` writes and reads messages, `transport` sends them, `retry` decides about another try, and
//! `rate_limiter` waits. An [`ApiPolicy`] asks several questions at a time and reports to an
//! observer. Every answer goes into the `response_cache` first, so no answer is paid for twice.
//! Failures go into the `failure_log`, and [`ApiUsage`] counts calls and tokens.
//!
//! Responsible for the chat-completions API of `OpenAI`, which vLLM, llama.cpp and most hosts of
//! models offer. Hides HTTP and keys: the environment holds the key, and no setting, message or
//! file repeats it. Must not know the purpose of the attempts, stages or the database.

mod address;
mod chat;
mod client;
mod endpoint;
mod error;
mod failure_log;
mod policy;
mod rate_limiter;
mod response_cache;
mod retry;
mod secret;
mod transport;
mod usage;

pub use client::ApiClient;
pub use endpoint::{Endpoint, TeacherView, TokenPrice};
pub use error::ApiError;
pub use policy::{ApiPolicy, ChunkProgress};
pub use usage::ApiUsage;
