//! Models behind an API: a [`Policy`](crate::domain::Policy) that asks a server for its attempts.
//!
//! How data flows: an [`Endpoint`] is what an experiment file says; a [`ApiClient`] of it puts one question at a
//! time (`chat` writes and reads messages, `transport` sends them, `retry` says what is tried again and when,
//! `pace` holds back); a [`ApiPolicy`] client is the policy, which asks several questions at a time and
//! tells an observer. Every answer goes into a cache (`answers`) before it is used, so nothing is paid for
//! twice; whatever was no answer goes into a record beside it (`troubles`); a [`Ledger`] counts.
//!
//! Speaks the chat-completions API of `OpenAI`, as vLLM, llama.cpp and most hosts of models do. Hides HTTP
//! and keys: a key is read from the environment when it is needed and is in no setting, message or file.
//! Must not know what the attempts are for, nor about stages and the database.

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
pub use policy::ApiPolicy;
pub use usage::ApiUsage;
