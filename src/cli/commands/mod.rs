//! One file per command: its options, its run and its text.
//!
//! Must not know how another command works.

pub mod backends;
pub mod base;
pub mod claims;
pub mod data;
pub mod model;
pub mod plan;
pub mod query;
pub mod report;
pub mod rescore;
pub mod runs;
pub mod show;
pub mod status;
pub mod sweep;
pub mod worker;
