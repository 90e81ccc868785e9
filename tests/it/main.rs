//! Integration tests, one binary: each links burn, and one link is enough.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod architectures;
mod backends;
mod bad_input;
mod chat;
mod checkpoints;
mod claims;
mod data;
mod exports;
mod golden;
mod gradients;
mod keys;
mod layers;
mod learning;
mod methods;
mod misbehaving;
mod names;
mod objectives;
mod online;
mod reference;
mod remote;
mod reports;
mod rescore;
mod resume;
mod rows;
mod self_rewarding;
mod stages;
mod support;
mod sweep;
mod verifiers;
