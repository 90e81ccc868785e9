//! Models behind an API: a [`Policy`](crate::domain::Policy) that asks a server for its attempts.
//!
//! How data flows: an [`Endpoint`] is what an experiment file says; a [`Client`] of it puts one question at a
//! time (`chat` writes and reads messages, `transport` sends them, `retry` says what is tried again and when,
//! `pace` holds back); a [`Listening`] client is the policy, which asks several questions at a time and
//! tells an observer. Every answer goes into a cache (`answers`) before it is used, so nothing is paid for
//! twice; whatever was no answer goes into a record beside it (`troubles`); a [`Ledger`] counts.
//!
//! Speaks the chat-completions API of `OpenAI`, as vLLM, llama.cpp and most hosts of models do. Hides HTTP
//! and keys: a key is read from the environment when it is needed and is in no setting, message or file.
//! Must not know what the attempts are for, nor about stages and the database.

mod address;
mod answers;
mod chat;
mod client;
mod endpoint;
mod error;
mod ledger;
mod pace;
mod policy;
mod retry;
mod secret;
mod transport;
mod troubles;

pub use client::Client;
pub use endpoint::{Endpoint, Price, Sees};
pub use error::RemoteError;
pub use ledger::Ledger;
pub use policy::Listening;
