//! What each kind of stage does: one file per kind.
//!
//! A stage reads the files of its inputs, writes its own into its working folder, and says what to
//! publish. Must not know keys, schedules, or which method asked for it.

pub(super) mod base;
pub(super) mod build_examples;
pub(super) mod collect;
mod cost;
pub(super) mod evaluate;
pub(super) mod improve;
pub(super) mod label_steps;
pub(super) mod likelihood;
pub(super) mod link;
pub(super) mod online;
mod policy_handle;
pub(super) mod prefer;
pub(super) mod prepare;
pub(super) mod rank;
pub(super) mod refine;
pub(super) mod sample;
pub(super) mod tokenize;
pub(super) mod train;
mod training_checkpoint;
pub(super) mod unsolved;
mod verifier_score;
