//! One file per command: from typed arguments to an answer and an exit code.

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
