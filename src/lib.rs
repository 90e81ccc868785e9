//! rise-lab: the laboratory in which people study how language models learn to correct themselves.
#![allow(missing_docs)]
pub mod cli;
pub mod data;
pub mod domain;
pub mod eval;
pub mod model;
pub mod pipeline;
pub mod report;
pub mod rollout;
pub mod spec;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod train;
